"""Words that describe a cluster: those that its rows use and other rows do not."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set

WORD = re.compile(r"[^\W\d_]{3,24}")
COMMON = """
the and for with that this from are was were not but you your all any can has have had its into use used using will when
which than then them they their there these those what who how why where one two also may must more most other such only
over under between out our his her she him an of to in is it as be by or on at if so no do does der die das und den von
mit für ein eine les des une est que pour dans con los las del por para una
"""
STOP = frozenset(COMMON.split())


def distinctive_words(texts: Mapping[int, Sequence[str]], words: int = 3) -> dict[int, str]:
    """Return the `words` most distinctive words of every cluster, joined by commas; "" for clusters without words.

    texts: a few texts by cluster.
    """
    found = distinctive({cluster: [words_of(text) for text in texts[cluster]] for cluster in texts}, words)
    return {cluster: ", ".join(chosen) for cluster, chosen in found.items()}


def distinctive(rows: Mapping[int, Sequence[Set[str]]], words: int) -> dict[int, list[str]]:
    """Return the `words` most distinctive words of every cluster, the most distinctive first.

    rows: the words of a few rows by cluster. Weight (class-based tf-idf, Grootendorst 2022) = share of the cluster's
    rows with the word x log(1 + mean rows of a cluster / rows of all clusters with it); a word of one row only names
    nothing where there are three rows or more. Ties go by the alphabet.
    """
    counts = {cluster: Counter(word for row in rows[cluster] for word in row) for cluster in rows}
    held_by: Counter[str] = Counter()
    for counter in counts.values():
        held_by.update(counter)
    mean = sum(len(found) for found in rows.values()) / max(len(rows), 1)
    chosen = {}
    for cluster, counter in counts.items():
        size = max(len(rows[cluster]), 1)
        weight = {
            word: count / size * math.log1p(mean / held_by[word])
            for word, count in counter.items()
            if count > 1 or size < 3
        }
        chosen[cluster] = sorted(weight, key=lambda word: (-weight[word], word))[:words]
    return chosen


def words_of(text: str) -> set[str]:
    """Return the words of a text that may name something: three letters or more, none of the commonest."""
    return {match.lower() for match in WORD.findall(text)} - STOP
