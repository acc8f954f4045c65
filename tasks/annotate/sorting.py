"""Number the kept rows in the order of a key, in bounded memory: a sample cuts the keys into ranges, each is sorted.

Runs of blocks write their keys cut by range; a worker sorts one range at a time; the places are gathered by run again.
The driver holds a sample of at most about 65,536 keys and the rows of every range.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Protocol

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.dtypes import Array, Float64Array, Int64Array, UInt64Array
from evenkeel.infra.hashing import uniform
from evenkeel.infra.sections import read_sections, write_sections
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.step import Run

KEYED = np.dtype([("major", "<u8"), ("minor", "<u8"), ("row_id", "<u8")])
PLACED = np.dtype([("row_id", "<u8"), ("place", "<i8")])
ROWS_AT_ONCE = 1 << 21
MAX_RANGES = 1 << 12
SAMPLE = 1 << 16
SEED = 0x5047


class Keys(Protocol):
    """Gives the keys of the kept rows of a block."""

    def __call__(self, block: str) -> tuple[UInt64Array, UInt64Array, UInt64Array]:
        """Return row ids, major and minor keys of the rows that are numbered, each (n,) uint64."""


@dataclass(frozen=True)
class Sorting:
    """How the work is cut; small, sent to workers. runs: names of consecutive blocks. cuts: (ranges - 1,) KEYED."""

    keys: Keys
    folder: str
    runs: tuple[tuple[str, ...], ...]
    cuts: Array

    def save(self, run: int) -> Int64Array:
        """Write the keys of a run of blocks, cut by range; return the rows of every range, (ranges,) int64."""
        blocks = [_keyed(self.keys, block) for block in self.runs[run]]
        write_array(self._sizes_uri(run), np.array([len(rows) for rows in blocks], np.int64))
        rows = np.concatenate([np.empty(0, KEYED), *blocks])
        return self._save(f"keys-{run}", rows, _range_of(rows, self.cuts), len(self.cuts) + 1)

    def sort(self, task: tuple[int, int]) -> int:
        """Number the rows of a range from its first place on, and write the places cut by run; return how many."""
        number, start = task
        parts = [self._load([f"keys-{run}"], number, KEYED) for run in range(len(self.runs))]
        rows = np.concatenate([np.empty(0, KEYED), *parts])
        order = np.lexsort((rows["row_id"], rows["minor"], rows["major"]))
        placed = np.empty(len(rows), PLACED)
        placed["row_id"] = rows["row_id"]
        placed["place"][order] = np.arange(start, start + len(rows))
        self._save(
            f"places-{number}", placed, np.repeat(np.arange(len(parts)), [len(one) for one in parts]), len(parts)
        )
        return len(rows)

    def gather(self, run: int) -> int:
        """Write the places of the rows of a run of blocks, one file per block, by row id; return how many."""
        placed = self._load([f"places-{number}" for number in range(len(self.cuts) + 1)], run, PLACED)
        places = placed["place"][np.argsort(placed["row_id"])]
        ends = np.cumsum(read_array(self._sizes_uri(run)))
        for block, part in zip(self.runs[run], np.split(places, ends[:-1]), strict=True):
            write_array(places_uri(self.folder, block), part)
        return len(placed)

    def _sizes_uri(self, run: int) -> str:
        return storage.join(self.folder, "sorting", f"sizes-{run}.npy")

    def _save(self, name: str, rows: Array, part: Int64Array, parts: int) -> Int64Array:
        sizes = np.bincount(part, minlength=parts).astype(np.int64)
        cut = rows[np.argsort(part, kind="stable")]
        ends = np.append(0, np.cumsum(sizes))
        sections = [cut[first:last].tobytes() for first, last in pairwise(ends)]
        write_sections(storage.join(self.folder, "sorting", name), sections)
        return sizes

    def _load(self, names: Sequence[str], number: int, kind: np.dtype[np.void]) -> Array:
        parts = [read_sections(storage.join(self.folder, "sorting", name), number, number + 1)[0] for name in names]
        return np.concatenate([np.empty(0, kind), *(np.frombuffer(part, kind) for part in parts)])


def place_rows(source: AnnotationSource, keys: Keys, folder: str, run: Run) -> int:
    """Write the place of every row by (major, minor, row id), from 0, one file per block; return how many there are.

    The files lie where `places_uri` says, (n,) int64 each, the rows of a block in the order that `keys` gives, which is
    that of row ids.
    """
    work = source.pool.rows * 64
    plan = Sorting(keys, folder, runs_of(source), np.empty(0, KEYED))
    ranges = min(-(-source.kept_rows // ROWS_AT_ONCE), MAX_RANGES)
    if ranges > 1:
        share = SAMPLE / source.kept_rows
        sample = run.compute.reduce(partial(_sample, keys, share), _joined, source.blocks, work=work)
        plan = replace(plan, cuts=_cuts(np.empty(0, KEYED) if sample is None else sample, ranges))
    numbers = range(len(plan.runs))
    sizes = run.compute.reduce(plan.save, operator.iadd, numbers, work=work)
    rows = int(sizes.sum()) if sizes is not None else 0
    if sizes is not None:
        starts = np.append(0, np.cumsum(sizes))[:-1]
        run.compute.map(plan.sort, list(enumerate(starts.tolist())), work=work)
        run.compute.map(plan.gather, numbers, work=work)
    storage.remove(storage.join(folder, "sorting"))
    return rows


def places_uri(folder: str, block: str) -> str:
    """Return where `place_rows` writes the places of the rows of a block."""
    return storage.join(folder, "places", f"{block}.npy")


def read_places(folder: str, block: str) -> Int64Array:
    """Return the places of the rows of a block, (n,) int64."""
    places: Int64Array = read_array(places_uri(folder, block))
    return places


def ascending(numbers: Float64Array) -> UInt64Array:
    """Return keys that sort as numbers do, (n,) uint64: the bits, with those of negative ones turned over; NaN last."""
    plain = np.where(np.isnan(numbers), np.inf, numbers) + 0.0  # -0.0 becomes 0.0
    bits = plain.view(np.uint64)
    sign = np.uint64(1) << np.uint64(63)
    keys: UInt64Array = np.where(bits & sign, ~bits, bits | sign)
    keys[np.isnan(numbers)] = np.iinfo(np.uint64).max
    return keys


def runs_of(source: AnnotationSource) -> tuple[tuple[str, ...], ...]:
    """Return the names of consecutive blocks that together hold about two million rows of the pool."""
    runs: list[list[str]] = []
    held = ROWS_AT_ONCE
    for block in source.pool.blocks:
        if held + block.rows > ROWS_AT_ONCE:
            runs.append([])
            held = 0
        runs[-1].append(block.name)
        held += block.rows
    return tuple(tuple(run) for run in runs)


def _keyed(keys: Keys, block: str) -> Array:
    row_id, major, minor = keys(block)
    rows = np.empty(len(row_id), KEYED)
    rows["row_id"], rows["major"], rows["minor"] = row_id, major, minor
    return rows


def _sample(keys: Keys, share: float, block: str) -> Array:
    rows = _keyed(keys, block)
    return rows[uniform(SEED, rows["row_id"]) < share]


def _joined(one: Array, other: Array) -> Array:
    return np.concatenate([one, other])


def _cuts(sample: Array, ranges: int) -> Array:
    """Return the first keys of all ranges but the first: those that cut a sample into equal parts, once each."""
    ordered = sample[np.lexsort((sample["row_id"], sample["minor"], sample["major"]))]
    places = np.arange(1, ranges) * len(ordered) // ranges
    return ordered[np.unique(places)] if len(ordered) else ordered


def _range_of(rows: Array, cuts: Array) -> Int64Array:
    """Return the range of each row: how many cuts are at or before its (major, minor, row id)."""
    low = np.searchsorted(cuts["major"], rows["major"]).astype(np.int64)
    high = np.searchsorted(cuts["major"], rows["major"], side="right")
    for cut in range(len(cuts)) if (high > low).any() else ():
        same = np.flatnonzero(rows["major"] == cuts["major"][cut])
        minor, row = rows["minor"][same], rows["row_id"][same]
        after = (minor > cuts["minor"][cut]) | ((minor == cuts["minor"][cut]) & (row >= cuts["row_id"][cut]))
        low[same[after]] += 1
    return low
