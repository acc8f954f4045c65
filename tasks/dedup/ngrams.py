"""Word n-grams that texts share with a list: decontamination (Brown et al. 2020, arXiv 2005.14165, appendix C)."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from evenkeel.infra.compiled import compiled, inlined
from evenkeel.infra.compute import Backend
from evenkeel.infra.dtypes import Int64Array, UInt64Array
from evenkeel.tasks.embed.words import mix, word_hashes


def listed_ngrams(words: UInt64Array, offsets: Int64Array, length: int, min_words: int) -> dict[int, UInt64Array]:
    """Return the distinct n-grams of the texts of a list as sorted hashes, by their length in words.

    A text of `length` words or more gives its n-grams of that length; one of at least `min_words` is one n-gram.
    """
    lengths = np.diff(offsets)
    found = {}
    for size in range(min(min_words, length), length + 1):
        chosen = np.flatnonzero(lengths >= length if size == length else lengths == size)
        if len(chosen):
            counts = lengths[chosen] - size + 1
            hashes = np.empty(int(counts.sum()), np.uint64)
            _hash_ngrams(words, offsets, chosen, size, hashes)
            found[size] = np.unique(hashes)
    return found


def listed_ngrams_of(
    texts: pa.ChunkedArray, max_characters: int, listed: Mapping[int, UInt64Array], backend: Backend = "cpu"
) -> Int64Array:
    """Return how many n-grams of each text are on the list, (n,) int64; either backend gives the same."""
    counts, rows = np.zeros(len(texts), np.int64), np.arange(len(texts))
    if backend == "gpu":
        from evenkeel.tasks.dedup.ngrams_gpu import count_listed_on_device

        rows = count_listed_on_device(texts, max_characters, listed, counts)
    if len(rows):
        words, offsets = word_hashes(texts.take(rows) if backend == "gpu" else texts, max_characters)
        counts[rows] = count_listed(words, offsets, listed)
    return counts


def count_listed(words: UInt64Array, offsets: Int64Array, listed: Mapping[int, UInt64Array]) -> Int64Array:
    """Return how many n-grams of each text are on the list, (n,) int64; one that comes twice counts twice."""
    counts = np.zeros(len(offsets) - 1, np.int64)
    for length, hashes in listed.items():
        _count_listed(words, offsets, length, hashes, counts)
    return counts


@inlined
def _ngram(words: UInt64Array, first: int, length: int) -> np.uint64:
    value = np.uint64(length)
    for place in range(first, first + length):
        value = (value ^ words[place]) * np.uint64(0xBF58476D1CE4E5B9)
        value ^= value >> np.uint64(29)
    return np.uint64(mix(value))


@compiled
def _hash_ngrams(words: UInt64Array, offsets: Int64Array, chosen: Int64Array, length: int, hashes: UInt64Array) -> None:
    used = 0
    for text in chosen:
        for first in range(offsets[text], offsets[text + 1] - length + 1):
            hashes[used] = _ngram(words, first, length)
            used += 1


@compiled
def _count_listed(
    words: UInt64Array, offsets: Int64Array, length: int, hashes: UInt64Array, counts: Int64Array
) -> None:
    for text in range(len(offsets) - 1):
        for first in range(offsets[text], offsets[text + 1] - length + 1):
            wanted = _ngram(words, first, length)
            low, high = 0, len(hashes)
            while low < high:
                middle = (low + high) // 2
                if hashes[middle] < wanted:
                    low = middle + 1
                else:
                    high = middle
            counts[text] += low < len(hashes) and hashes[low] == wanted
