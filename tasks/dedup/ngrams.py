"""Word n-grams that texts share with a list: decontamination (Brown et al. 2020, arXiv 2005.14165, appendix C)."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from evenkeel.tasks.embed.words import Hashes, Offsets, mix


def ngram_hashes(words: Hashes, offsets: Offsets, width: int, min_words: int) -> dict[int, Hashes]:
    """Return the distinct n-grams of the texts of a list as sorted hashes, by their length in words.

    A text of `width` words or more gives its n-grams of that length; one of at least `min_words` words is one n-gram.
    """
    lengths = np.diff(offsets)
    found = {}
    for size in range(min(min_words, width), width + 1):
        chosen = np.flatnonzero(lengths >= width if size == width else lengths == size)
        if len(chosen):
            counts = lengths[chosen] - size + 1
            hashes = np.empty(int(counts.sum()), np.uint64)
            _ngrams(words, offsets, chosen, size, hashes)
            found[size] = np.unique(hashes)
    return found


def shared_ngrams(words: Hashes, offsets: Offsets, ngrams: dict[int, Hashes]) -> npt.NDArray[np.int64]:
    """Return how many n-grams of each text are on the list, (n,) int64; one that comes twice counts twice."""
    shared = np.zeros(len(offsets) - 1, np.int64)
    for width, hashes in ngrams.items():
        _count_shared(words, offsets, width, hashes, shared)
    return shared


@numba.njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _ngram(words: Any, first: int, width: int) -> Any:
    value = np.uint64(width)
    for place in range(first, first + width):
        value = (value ^ words[place]) * np.uint64(0xBF58476D1CE4E5B9)
        value ^= value >> np.uint64(29)
    return mix(value)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _ngrams(words: Any, offsets: Any, chosen: Any, width: int, hashes: Any) -> None:
    used = 0
    for text in chosen:
        for first in range(offsets[text], offsets[text + 1] - width + 1):
            hashes[used] = _ngram(words, first, width)
            used += 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _count_shared(words: Any, offsets: Any, width: int, hashes: Any, shared: Any) -> None:
    for text in range(len(offsets) - 1):
        for first in range(offsets[text], offsets[text + 1] - width + 1):
            wanted = _ngram(words, first, width)
            low, high = 0, len(hashes)
            while low < high:
                middle = (low + high) // 2
                if hashes[middle] < wanted:
                    low = middle + 1
                else:
                    high = middle
            shared[text] += low < len(hashes) and hashes[low] == wanted
