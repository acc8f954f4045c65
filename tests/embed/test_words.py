"""Words: the same for every spelling of a text that readers would call the same, on every slice."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenkeel.tasks.embed import words
from evenkeel.tasks.embed.words import word_hashes


def hashes_of(text: str) -> list[int]:
    return list(word_hashes(pa.array([text]), 1000)[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The quick brown fox.", "the   QUICK\n\tbrown... fox!"),
        ("caf\u00e9 au lait", "cafe\u0301 AU LAIT"),
        ("\ufb01ne \uff21\uff22\uff23", "fine abc"),
        ("\u65e5\u672c\u3002\u8a9e", "\u65e5 \u672c \u8a9e"),
        ("well\u2014known \u201cword\u201d", "well known word"),
    ],
)
def test_spelling_does_not_matter(one: str, other: str) -> None:
    assert hashes_of(one) == hashes_of(other) != []


def test_other_words_have_other_hashes() -> None:
    assert len(set(hashes_of("a b ab ba aa bb \u00e9 e \u65e5 \u672c"))) == 10


@pytest.mark.parametrize("text", ["", " ", "...", "\u3000", "--- !!!"])
def test_a_text_without_words_has_none(text: str) -> None:
    assert hashes_of(text) == []


@given(st.lists(st.text(max_size=30) | st.none(), max_size=20), st.integers(1, 40))
def test_texts_do_not_see_one_another(texts: list[str | None], slice_bytes: int) -> None:
    before, words.SLICE_BYTES = words.SLICE_BYTES, slice_bytes
    try:
        flat, offsets = word_hashes(pa.chunked_array([pa.array(texts, pa.string())]), 100)
    finally:
        words.SLICE_BYTES = before
    assert len(offsets) == len(texts) + 1
    assert offsets[-1] == len(flat)
    for text, start, stop in zip(texts, offsets, offsets[1:], strict=False):
        assert flat[start:stop].tolist() == hashes_of(text or "")


def test_only_the_first_characters_of_a_long_text_are_read() -> None:
    flat, offsets = word_hashes(pa.array(["ab " * 1_000_000, "cd"]), 300)
    np.testing.assert_array_equal(offsets, [0, 100, 101])
    assert len(set(flat[:100].tolist())) == 1
