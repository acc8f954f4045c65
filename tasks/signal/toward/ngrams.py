"""Importance weights by n-grams: how much likelier a text is in the target than in the pool.

Source: DSIR (Xie et al. 2023, arXiv 2302.03169). Words and pairs of adjacent words are hashed into buckets; target and
pool each are a bag of buckets, and the log weight of a text is the sum over its n-grams of log(probability in the
target) - log(probability in the pool), or their mean: the sum favours long texts.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.compiled import compiled
from evenkeel.infra.compute import Backend
from evenkeel.infra.dtypes import BoolArray, Float64Array, Int32Array, Int64Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.toward.rule import Rule

if TYPE_CHECKING:
    from evenkeel.tasks.step import Run

RATIOS = "ratios.npy"
MAX_CHARACTERS = 262_144
CHANCE = 0.05


class NgramRule(Rule):
    """The log of the importance weight of a text."""

    def fit(self, source: SignalSource, target: TargetSet, folder: str, run: "Run") -> Mapping[str, object]:
        """Count the n-grams of pool and target, and write the log ratio of every bucket, (buckets,) float64.

        Raises InputError where they have no n-gram in common, as where they are of different languages.
        """
        buckets, added = self.options.buckets, self.options.floor_probability
        count = partial(_count_block, source, buckets, run.compute.backend)
        work = sum(shard.bytes for shard in source.pool.shards)
        raw = run.compute.reduce(count, np.add, source.blocks, work=work)
        if raw is None:
            raw = np.zeros(buckets, np.int64)
        wanted, rows = np.zeros(buckets, np.int64), 0
        for texts in target.texts(run.scratch):
            wanted += count_ngrams(texts, buckets)
            rows += len(texts)
        known = float(wanted[raw > 0].sum() / max(wanted.sum(), 1))
        if raw.sum() and strange(wanted > 0, raw > 0):
            raise InputError(
                "the target and the pool have no word in common, beyond what hash buckets share by chance",
                expected="texts of the same language and subject",
                found=f"{int(wanted.sum()):,} words and pairs in the target, {known:.0%} of them in the pool's buckets",
                where="target_set",
                remedy="check the column of texts (target_set.text), or compare meanings: by: clusters",
            )
        write_array(storage.join(folder, RATIOS), log_ratios(wanted, raw, added))
        return {"target_rows": rows, "target_ngrams": int(wanted.sum()), "known_ngrams": round(known, 4)}

    def values(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the log weight of each text, (n,) float64; NaN for one without a word."""
        ratios = np.asarray(map_array(storage.join(fit.folder, RATIOS), Path(fit.scratch)))
        return weigh_texts(source.text(block), ratios, self.options.per_token, fit.backend)


def strange(wanted: BoolArray, held: BoolArray) -> bool:
    """Tell whether fewer than half of the target's buckets are the pool's, and no more than by chance.

    wanted, held: which buckets occur, (buckets,) bool. By chance the pool has each in the share of all that it has.
    """
    from scipy.stats import binom

    asked, known = int(wanted.sum()), int((wanted & held).sum())
    return known < asked / 2 and float(binom.sf(known - 1, asked, held.mean())) > CHANCE


def _count_block(source: SignalSource, buckets: int, backend: Backend, block: str) -> Int64Array:
    return count_ngrams(source.text(block), buckets, backend)


def count_ngrams(texts: pa.ChunkedArray, buckets: int, backend: Backend = "cpu") -> Int64Array:
    """Return how often each bucket occurs in some texts, (buckets,) int64; either backend gives the same."""
    counts = np.zeros(buckets, np.int64)
    if backend == "gpu":
        from evenkeel.tasks.signal.toward.device_ngrams import count_on_device

        texts = texts.take(count_on_device(texts, MAX_CHARACTERS, counts))
    for found, _ in _hashed(texts, buckets):
        counts += np.bincount(found, minlength=buckets)
    return counts


def log_ratios(wanted: Int64Array, raw: Int64Array, added: float) -> Float64Array:
    """Return log((p + added) / (q + added)) of every bucket, p its share of wanted and q of raw, (buckets,) float64."""
    p, q = wanted / max(wanted.sum(), 1), raw / max(raw.sum(), 1)
    ratios: Float64Array = np.log(p + added) - np.log(q + added)
    return ratios


def weigh_texts(
    texts: pa.ChunkedArray, ratios: Float64Array, per_token: bool, backend: Backend = "cpu"
) -> Float64Array:
    """Return the summed, or mean, log ratio of the n-grams of each text, (n,) float64; NaN for one without any.

    Either backend gives the same.
    """
    sums, counts, rows = np.empty(len(texts)), np.zeros(len(texts), np.int64), np.arange(len(texts))
    if backend == "gpu":
        from evenkeel.tasks.signal.toward.device_ngrams import weigh_on_device

        rows = weigh_on_device(texts, MAX_CHARACTERS, ratios, sums, counts)
        texts = texts.take(rows)
    done = 0
    for found, ends in _hashed(texts, len(ratios)):
        mine = rows[done : done + len(ends) - 1]
        part = np.empty(len(mine))
        sum_ratios(ratios, found, ends, part)
        sums[mine], counts[mine] = part, np.diff(ends)
        done += len(mine)
    sums[counts == 0] = np.nan
    return sums / np.maximum(counts, 1) if per_token else sums


def _hashed(texts: pa.ChunkedArray, buckets: int) -> Iterator[tuple[Int32Array, Int64Array]]:
    """Yield the buckets of the n-grams of slices of texts, and where those of each text end, beginning with 0."""
    from evenkeel.tasks.embed.words import ngram_buckets, slices

    for _, data, offsets in slices(texts, MAX_CHARACTERS):
        found = np.empty(len(data) + len(offsets), np.int32)
        ends = np.empty(len(offsets), np.int64)
        used = ngram_buckets(data, offsets, np.uint64(buckets), -1, found, ends)
        yield found[:used], ends


@compiled
def sum_ratios(ratios: Float64Array, found: Int32Array, ends: Int64Array, sums: Float64Array) -> None:
    """Write the sum of the ratios of every text's buckets."""
    for text in range(len(sums)):
        total = 0.0
        for place in range(ends[text], ends[text + 1]):
            total += ratios[found[place]]
        sums[text] = total
