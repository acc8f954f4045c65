"""MinHash of texts: shingles of words, hashed so that two texts meet in a bucket the likelier the more alike they are.

MinHash is Broder 1997; bands of rows and their S-curve, Leskovec et al., Mining of Massive Datasets, chapter 3. The
hash functions are multiplicative (Dietzfelbinger et al. 1997) on 32 bits, which vectorises to eight at a time.
"""

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra.compute import Backend
from evenkeel.tasks.dedup.config import NearConfig
from evenkeel.tasks.embed.words import Hashes, Offsets, mix, word_hashes

MOST_HASHES = 144
SKETCH = 512


@dataclass(frozen=True)
class Bands:
    """How a signature is cut: two texts meet when all rows of at least one band agree."""

    bands: int
    rows: int

    def chance(self, similarity: float) -> float:
        """Return the chance that two texts of this Jaccard similarity meet: the S-curve."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


def choose_bands(threshold: float, recall: float) -> Bands:
    """Return the steepest S-curve of at most 144 hashes that passes through (threshold, recall) or above."""
    best = Bands(1, 1)
    for rows in range(1, MOST_HASHES + 1):
        missed = 1 - threshold**rows
        bands = 1 if missed <= 0 else math.ceil(math.log(1 - recall) / math.log(missed) - 1e-12)
        if bands * rows > MOST_HASHES:
            break
        best = Bands(max(bands, 1), rows)
        if threshold == 1:
            return best
    return best


def band_hashes(
    texts: pa.ChunkedArray, config: NearConfig, bands: Bands, backend: Backend = "cpu"
) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """Return the bucket of every text in every band, (bands, n) uint64, and which texts have a word, (n,) bool.

    Either backend gives the same buckets.
    """
    words, offsets = word_hashes(texts, config.max_characters)
    rng = np.random.default_rng([config.seed, 0x31A5])
    size = bands.bands * bands.rows
    turn = rng.integers(0, 2**32, size, np.uint32)
    factor = rng.integers(0, 2**32, size, np.uint32) | np.uint32(1)
    buckets = np.empty((bands.bands, len(texts)), np.uint64)
    if backend == "gpu":
        from evenkeel.tasks.dedup.minhash_gpu import least_hashes

        shingles, ends = _shingles(words, offsets, config.shingle)
        _bucket_rows(least_hashes(shingles, ends, turn, factor), buckets)
    else:
        _band_hashes(words, offsets, config.shingle, turn, factor, buckets)
    return buckets, np.diff(offsets) > 0


def sketches(texts: pa.ChunkedArray, config: NearConfig) -> tuple[npt.NDArray[np.uint32], Offsets]:
    """Return the (at most 512) smallest shingle hashes of every text, ascending: flat uint32 and (n + 1,) offsets."""
    words, offsets = word_hashes(texts, config.max_characters)
    most = np.minimum(np.maximum(np.diff(offsets) - config.shingle + 1, 1), SKETCH)
    flat = np.empty(int(most.sum()), np.uint32)
    ends = np.zeros(len(offsets), np.int64)
    used = _sketches(words, offsets, config.shingle, flat, ends)
    return flat[:used], ends


@numba.njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _shingle(words: Any, start: int, stop: int) -> Any:
    value = np.uint64(0x9E3779B97F4A7C15)
    for place in range(start, stop):
        value = (value ^ words[place]) * np.uint64(0xBF58476D1CE4E5B9)
        value ^= value >> np.uint64(29)
    return mix(value)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _band_hashes(words: Any, offsets: Any, width: int, turn: Any, factor: Any, buckets: Any) -> None:
    bands, size = buckets.shape[0], len(turn)
    rows = size // bands
    least = np.empty(size, np.uint32)
    for text in range(len(offsets) - 1):
        start, stop = offsets[text], offsets[text + 1]
        least[:] = np.uint32(0xFFFFFFFF)
        for first in range(start, max(stop - width, start) + 1):
            value = np.uint32(_shingle(words, first, min(first + width, stop)) >> np.uint64(32))
            for one in range(size):
                hashed = np.uint32((value ^ turn[one]) * factor[one])
                least[one] = min(least[one], hashed)
        for band in range(bands):
            buckets[band, text] = _bucket(least, band, rows)


@numba.njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def _bucket(least: Any, band: int, rows: int) -> Any:
    bucket = np.uint64(band)
    for one in range(band * rows, (band + 1) * rows):
        bucket = mix(bucket ^ np.uint64(least[one]))
    return bucket


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _bucket_rows(least: Any, buckets: Any) -> None:
    bands = buckets.shape[0]
    for text in range(len(least)):
        for band in range(bands):
            buckets[band, text] = _bucket(least[text], band, least.shape[1] // bands)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _shingles(words: Any, offsets: Any, width: int) -> Any:
    """Return the hashes of all shingles, flat uint32, and where each text's begin, (n + 1,) int64."""
    ends = np.zeros(len(offsets), np.int64)
    for text in range(len(offsets) - 1):
        size = offsets[text + 1] - offsets[text]
        ends[text + 1] = ends[text] + max(size - width, 0) + 1
    flat = np.empty(ends[-1], np.uint32)
    for text in range(len(offsets) - 1):
        for place in range(ends[text + 1] - ends[text]):
            first = offsets[text] + place
            value = _shingle(words, first, min(first + width, offsets[text + 1]))
            flat[ends[text] + place] = np.uint32(value >> np.uint64(32))
    return flat, ends


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _sketches(words: Any, offsets: Any, width: int, flat: Any, ends: Any) -> int:
    used = 0
    for text in range(len(offsets) - 1):
        start, stop = offsets[text], offsets[text + 1]
        if stop > start:
            count = max(stop - width, start) + 1 - start
            found = np.empty(count, np.uint32)
            for place in range(count):
                first = start + place
                found[place] = np.uint32(_shingle(words, first, min(first + width, stop)))
            found.sort()
            begin = used
            for place in range(count):
                if place == 0 or found[place] != found[place - 1]:
                    flat[used] = found[place]
                    used += 1
                    if used - begin == SKETCH:
                        break
        ends[text + 1] = used
    return used


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def similarities(
    flat: Any, offsets: Any, rows: Any, other_flat: Any, other_offsets: Any, other_rows: Any, found: Any
) -> None:
    """Write the Jaccard similarity of pairs of texts from their sketches; exact below 512 distinct shingles each.

    Above, the 512 smallest hashes of the union decide (Broder's bottom-k estimate, standard error under 0.023).
    rows, other_rows: (pairs,) int64 into the sketches on either side. found: (pairs,) float32.
    """
    for pair in range(len(rows)):
        at, end = offsets[rows[pair]], offsets[rows[pair] + 1]
        other, other_end = other_offsets[other_rows[pair]], other_offsets[other_rows[pair] + 1]
        both = union = 0
        while union < SKETCH and (at < end or other < other_end):
            if other == other_end or (at < end and flat[at] < other_flat[other]):
                at += 1
            elif at == end or flat[at] > other_flat[other]:
                other += 1
            else:
                at += 1
                other += 1
                both += 1
            union += 1
        found[pair] = both / max(union, 1)
