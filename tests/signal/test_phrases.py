"""Entries in texts: the same as a regular expression with word borders finds."""

import random
import re
import string

import pyarrow as pa
import pytest

from evenkeel.tasks.signal.entries.phrases import Phrases


def found_in(entries: list[str], texts: list[str | None]) -> list[set[str]]:
    phrases, numbers = Phrases.of(pa.array(entries, pa.string()))
    matches = phrases.find(pa.chunked_array([pa.array(texts[:2], pa.string()), pa.array(texts[2:], pa.string())]))
    assert len(matches.offsets) == len(texts) + 1
    pieces = [
        matches.numbers[first:last] for first, last in zip(matches.offsets[:-1], matches.offsets[1:], strict=True)
    ]
    assert all(len(set(piece.tolist())) == len(piece) for piece in pieces), "an entry is found once in a text"
    return [{entry for entry, number in zip(entries, numbers, strict=True) if number in piece} for piece in pieces]


def by_regex(entries: list[str], texts: list[str | None]) -> list[set[str]]:
    compiled = {
        entry: re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, entry.lower().split())) + r"(?!\w)")
        for entry in entries
    }
    return [{entry for entry, rule in compiled.items() if rule.search((text or "").lower())} for text in texts]


def word_of(draw: random.Random, letters: str, most: int) -> str:
    return "".join(draw.choice(letters) for _ in range(draw.randint(1, most)))


ENTRIES = [
    "art", "new york", "New York City", "c++", "C", ".net", "a.b", "don't", "x*", "(?:y)", "[z]", "café", "naïve art",
    "e-mail", "snake_case", "3d", "york", "++", "a  b", "straße", "Ω",
]  # fmt: skip
TEXTS = [
    "party art cart ART!",
    "In New\n York, city; new york city. newyork",
    None,
    "",
    "C++ and c++x or Visual-C++; .net asp.net (.NET) a.b aXb a.bc",
    "don't dont x* xx (?:y) [z] z café CAFÉ cafés naïve  art",
    "e-mail email snake_case snake case case 3D 3dx ++ a b a\tb ab",
    "STRASSE straße Ω ω",
]


def test_entries_are_found_at_word_borders_as_a_regular_expression_finds_them() -> None:
    assert found_in(ENTRIES, TEXTS) == by_regex(ENTRIES, TEXTS)
    assert found_in(["art"], TEXTS)[0] == {"art"}
    assert found_in(["art"], ["party", "cart"]) == [set(), set()]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.long
def test_random_entries_in_random_texts_are_those_of_a_regular_expression(seed: int) -> None:
    draw = random.Random(seed)
    letters = "ab_9é" + "+.-*' \n" + "ab"
    entries = [one for one in (word_of(draw, letters, 6) for _ in range(150)) if one.strip()]
    entries = list({" ".join(one.lower().split()): one for one in entries}.values())
    texts: list[str | None] = [word_of(draw, letters, 40) for _ in range(200)]
    expected = by_regex(entries, texts)
    assert sum(map(len, expected)) > 500
    assert found_in(entries, texts) == expected


def test_the_same_entry_twice_is_one_and_a_blank_one_is_none() -> None:
    _, numbers = Phrases.of(pa.array(["Cat", "cat", " ", "black  cat", "BLACK\ncat", "cafe\u0301", "café"]))
    assert numbers.tolist() == [0, 0, -1, 3, 3, 5, 5]


def test_a_script_without_blanks_is_matched_letter_by_letter_and_marks_belong_to_their_word() -> None:
    assert found_in(["北京", "京"], ["我在北京市", "北方京"]) == [{"北京", "京"}, {"京"}]
    assert found_in(["हिन"], ["हिन्दी", "हिन"]) == [set(), {"हिन"}]


def test_no_entries_and_no_texts() -> None:
    assert found_in([], ["a", "b", "c"]) == [set()] * 3
    phrases, _ = Phrases.of(pa.array(list(string.ascii_letters)))
    assert phrases.find(pa.chunked_array([], pa.string())).offsets.tolist() == [0]
