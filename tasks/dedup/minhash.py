"""MinHash of texts: sets of shingles are hashed so that similar texts probably share a bucket.

MinHash is Broder 1997; bands of rows and their S-curve, Leskovec et al., Mining of Massive Datasets, chapter 3. The
hash functions are multiplicative (Dietzfelbinger et al. 1997) on 32 bits, which vectorises to eight at a time.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from evenkeel.infra.compiled import compiled, inlined
from evenkeel.infra.compute import Backend
from evenkeel.infra.dtypes import BoolArray, Float32Array, Int64Array, UInt32Array, UInt64Array
from evenkeel.tasks.dedup.config import MAX_HASHES, NearConfig
from evenkeel.tasks.embed.words import mix, word_hashes

SKETCH_SIZE = 512


@dataclass(frozen=True)
class Bands:
    """How a signature is cut: two texts share a bucket if all rows of at least one band agree."""

    bands: int
    rows: int

    def probability(self, similarity: float) -> float:
        """Return the probability that two texts of this Jaccard similarity share a bucket: the S-curve."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


class Sketches(NamedTuple):
    """The (at most 512) smallest shingle hashes of every text, flat and ascending, and where they begin, (n + 1,)."""

    hashes: UInt32Array
    offsets: Int64Array


def choose_bands(threshold: float, recall: float) -> Bands:
    """Return the steepest S-curve of at most 144 hashes that passes through (threshold, recall) or above."""
    best = Bands(1, 1)
    for rows in range(1, MAX_HASHES + 1):
        missed = 1 - threshold**rows
        bands = 1 if missed <= 0 else math.ceil(math.log(1 - recall) / math.log(missed) - 1e-12)
        if bands * rows > MAX_HASHES:
            break
        best = Bands(max(bands, 1), rows)
        if threshold == 1:
            return best
    return best


def band_hashes(
    texts: pa.ChunkedArray, config: NearConfig, bands: Bands, backend: Backend = "cpu"
) -> tuple[UInt64Array, BoolArray]:
    """Return the bucket of every text in every band, (bands, n) uint64, and which texts have a word, (n,) bool.

    Either backend gives the same buckets.
    """
    rng = np.random.default_rng([config.seed, 0x31A5])
    size = bands.bands * bands.rows
    turn = rng.integers(0, 2**32, size, np.uint32)
    factor = rng.integers(0, 2**32, size, np.uint32) | np.uint32(1)
    buckets, wordy = np.empty((bands.bands, len(texts)), np.uint64), np.empty(len(texts), bool)
    rows = np.arange(len(texts))
    if backend == "gpu":
        from evenkeel.tasks.dedup.minhash_gpu import band_hashes_on_device

        rows = band_hashes_on_device(texts, config, turn, factor, buckets, wordy)
    if len(rows):
        words, offsets = word_hashes(texts.take(rows) if backend == "gpu" else texts, config.max_characters)
        _band_hashes(words, offsets, config.shingle, turn, factor, rows, buckets)
        wordy[rows] = np.diff(offsets) > 0
    return buckets, wordy


def sketches(texts: pa.ChunkedArray, config: NearConfig) -> Sketches:
    """Return the sketch of every text."""
    words, offsets = word_hashes(texts, config.max_characters)
    most = np.minimum(np.maximum(np.diff(offsets) - config.shingle + 1, 1), SKETCH_SIZE)
    flat = np.empty(int(most.sum()), np.uint32)
    ends = np.zeros(len(offsets), np.int64)
    used = _sketches(words, offsets, config.shingle, flat, ends)
    return Sketches(flat[:used], ends)


@inlined
def _shingle(words: UInt64Array, start: int, stop: int) -> np.uint64:
    value = np.uint64(0x9E3779B97F4A7C15)
    for place in range(start, stop):
        value = (value ^ words[place]) * np.uint64(0xBF58476D1CE4E5B9)
        value ^= value >> np.uint64(29)
    return np.uint64(mix(value))


@compiled
def _band_hashes(
    words: UInt64Array,
    offsets: Int64Array,
    width: int,
    turn: UInt32Array,
    factor: UInt32Array,
    rows: Int64Array,
    buckets: UInt64Array,
) -> None:
    bands, size = buckets.shape[0], len(turn)
    width_of_band = size // bands
    minima = np.empty(size, np.uint32)
    for text in range(len(offsets) - 1):
        start, stop = offsets[text], offsets[text + 1]
        minima[:] = np.uint32(0xFFFFFFFF)
        for first in range(start, max(stop - width, start) + 1):
            value = np.uint32(_shingle(words, first, min(first + width, stop)) >> np.uint64(32))
            for one in range(size):
                hashed = np.uint32((value ^ turn[one]) * factor[one])
                minima[one] = min(minima[one], hashed)
        for band in range(bands):
            buckets[band, rows[text]] = _bucket(minima, band, width_of_band)


@inlined
def _bucket(minima: UInt32Array, band: int, rows: int) -> np.uint64:
    bucket = np.uint64(band)
    for one in range(band * rows, (band + 1) * rows):
        bucket = mix(bucket ^ np.uint64(minima[one]))
    return bucket


@compiled
def _sketches(words: UInt64Array, offsets: Int64Array, width: int, flat: UInt32Array, ends: Int64Array) -> int:
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
                    if used - begin == SKETCH_SIZE:
                        break
        ends[text + 1] = used
    return used


@compiled
def similarities(
    left: Sketches, rows: Int64Array, right: Sketches, other_rows: Int64Array, found: Float32Array
) -> None:
    """Write the Jaccard similarity of pairs of texts, from their sketches, to found (pairs,).

    It is exact below 512 distinct shingles each; above, the 512 smallest hashes of the union decide (Broder's bottom-k
    estimate, standard error under 0.023). rows, other_rows: (pairs,) into the sketches on either side.
    """
    flat, offsets = left
    other_flat, other_offsets = right
    for pair in range(len(rows)):
        at, end = offsets[rows[pair]], offsets[rows[pair] + 1]
        other, other_end = other_offsets[other_rows[pair]], other_offsets[other_rows[pair] + 1]
        both = union = 0
        while union < SKETCH_SIZE and (at < end or other < other_end):
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
