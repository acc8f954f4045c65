"""Statistics of texts: equal to the plain definition on any Unicode text, in any layout of Arrow's arrays."""

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenkeel.tasks.signal.text.characters import LETTER, TERMINAL, WHITE, WORDLIKE, character_classes
from evenkeel.tasks.signal.text.measure import text_statistics
from evenkeel.tasks.signal.text.statistics import STATISTICS, Measures
from tests.examples import most
from tests.signal.text.reference import reference

# Texts in which rules meet: repeated words and lines, odd white space, citations, what C4 looks for.
PIECES = [
    *["the", "cat", "sat", "of", "and", "é", "naïve", "漢字", "42", "#", "-", "•", "...", "….", "?!", "[1]", "[edit]"],
    *["[citation needed]", "[[3]4]", "javascript", "JavaScript.", "lorem", "ipsum.", "Lorem ipsum", "{", "\u0130"],
    *["use coo\u212aies.", "privacy policy", "terms of u[7]se", "x" * 1001, 'said."', "end.)", "…", "..", "。", "🙂"],
]
SPACES = [
    *[" "] * 6,
    "  ",
    "\n",
    "\n",
    "\n\n",
    "\n\n\n",
    "\r\n",
    "\r",
    "\t",
    "\x0b",
    "\x1c",
    "\x85",
    "\u2028",
    "\u00a0",
]
MADE = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(SPACES)), max_size=40).map(
    lambda parts: "".join(map("".join, parts))
)
REPETITIVE = st.lists(st.sampled_from(["a", "b", "ab", " ", " ", "\n"]), max_size=120).map("".join)
SHORT = "a b. \n"


def _assert_equal_to_reference(texts: list[str]) -> None:
    found = text_statistics(pa.array(texts, pa.string()), STATISTICS)
    for row, text in enumerate(texts):
        wanted = reference(text)
        got = {name: column[row] for name, column in found.items()}
        assert got == pytest.approx(wanted, rel=1e-12), repr(text)


@given(st.lists(st.one_of(MADE, REPETITIVE, st.text(max_size=60), st.text(alphabet=SHORT, max_size=80)), max_size=6))
@settings(max_examples=most(250), deadline=None)
@pytest.mark.long
def test_statistics_are_those_of_the_plain_definition(texts: list[str]) -> None:
    _assert_equal_to_reference(texts)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("one two three", "words", 3),
        ("a\n\nb\nb\n", "duplicate_line_share", 1 / 4),  # a, b, b and the empty end
        ("\n", "duplicate_line_share", 1 / 2),
        ("x y\n\nx y", "duplicate_paragraph_share", 1 / 2),
        ("x y\n\nx y", "duplicate_paragraph_character_share", 3 / 8),
        ("a b a b a b", "top_2_gram_share", 9 / 11),  # "a b", three times
        ("a b c d e a b c d e", "duplicate_5_gram_share", 5 / 19),
        ("This is it. Is it? “Yes, it is.” So there", "c4_sentences", 0),  # no mark at its end
        ("This is it. Is it? (Yes, it is.) So there!", "c4_sentences", 4),
        ("It ends well [2][citation needed].", "c4_lines", 1),
        ("It ends badly here. [2]", "c4_lines", 0),
        ("- one\r\n• two\rthree", "bullet_line_share", 2 / 3),
    ],
)
def test_known_values(text: str, name: str, value: float) -> None:
    assert text_statistics(pa.array([text]), [name])[name] == pytest.approx([value])


def test_a_null_is_nan_and_an_empty_text_is_zero() -> None:
    found = text_statistics(pa.array(["a b", None, ""]), STATISTICS)
    table = np.array([found[name] for name in STATISTICS])
    assert np.isnan(table[:, 1]).all()
    assert (table[:, 2] == 0).all()
    assert not np.isnan(table[:, [0, 2]]).any()


def test_any_layout_of_an_array_gives_the_same() -> None:
    texts = ["the cat sat.\nthe cat sat.", None, "", "é" * 40 + " — naïve …", "漢字 " * 30, "x", "last one. "]
    wanted = text_statistics(pa.array(texts), STATISTICS)
    layouts = [
        pa.array(texts, pa.large_string()),
        pa.array(texts, pa.string_view()),
        pa.array(texts).dictionary_encode(),
        pa.array(["before", "more", *texts, "after"]).slice(2, len(texts)),
        pa.chunked_array([texts[:3], [], texts[3:]], pa.string()),
        pa.chunked_array([pa.array(["zz", *texts[:5]]).slice(1), pa.array(texts[5:])]),
    ]
    for layout in layouts:
        for name, column in text_statistics(layout, STATISTICS).items():
            np.testing.assert_array_equal(column, wanted[name], err_msg=f"{name} of {layout.type}")
    assert text_statistics(pa.array([], pa.string()), ["words"])["words"].shape == (0,)
    assert text_statistics(pa.chunked_array([], pa.string()), ["words"])["words"].shape == (0,)


def test_one_group_of_statistics_does_not_depend_on_the_others() -> None:
    texts = pa.array(["the cat sat on the cat. It sat there.\nthe cat", "a b\n\na b", None])
    together = text_statistics(texts, STATISTICS)
    for name in STATISTICS:
        np.testing.assert_array_equal(text_statistics(texts, [name])[name], together[name])


def test_what_is_asked_of_a_text_can_be_changed() -> None:
    text = pa.array(["der Hund und die Katze\nkurz"])
    measures = Measures(stop_words=("und", "die"), short_line=3)
    found = text_statistics(text, ["stop_words", "short_line_share"], measures)
    assert (found["stop_words"][0], found["short_line_share"][0]) == (2, 0)


def test_bytes_that_are_no_utf8_are_counted_and_not_overrun() -> None:
    data = pa.py_buffer(b"ab \xff\xfe c\xe2\x80")
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 9], np.int32)), data)
    assert text_statistics(broken, ["words", "characters"])["words"].tolist() == [3]


def test_classes_of_characters_are_those_of_unicode() -> None:
    classes = character_classes()
    for character in "aZéß漢ªあ\u0301 \u00a0\u2003.!?。#(１1—":
        kind = classes[ord(character)]
        assert bool(kind & WHITE) == character.isspace()
        assert bool(kind & LETTER) == unicodedata.category(character).startswith("L")
    assert all(classes[ord(mark)] & TERMINAL and not classes[ord(mark)] & WORDLIKE for mark in ".?!。؟।")
    assert not classes[ord('"')] & TERMINAL
