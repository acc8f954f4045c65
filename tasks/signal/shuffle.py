"""Bring a list of (id, value) together with the rows of the pool, in bounded memory: sort-merge by the hash of the id.

Both sides are cut into the same ranges of the 64-bit hash, so that a worker merges one range at a time; what it found
is cut by runs of blocks and gathered block by block. No step holds more than a range or a run, the driver only counts.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import write_array
from evenkeel.infra.dtypes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.sections import read_sections, write_sections
from evenkeel.infra.tables import write_table
from evenkeel.tasks.ingest.pool import Block, Pool

LISTED = np.dtype([("hash", "<u8"), ("value", "<f8"), ("place", "<u8")])
POOLED = np.dtype([("hash", "<u8"), ("row_id", "<u8")])
FOUND = np.dtype([("row_id", "<u8"), ("value", "<f8")])
ROWS_AT_ONCE = 1 << 21
MAX_RANGES = 1 << 12
EXAMPLES = 3
FILE_BITS = 40

Doubles = Literal["fail", "first", "last", "mean"]


class Merged(NamedTuple):
    """What merging a range found: how many of each, and the places in the list of the first few.

    matched: rows of the pool that the list names. without: of those, rows that it gives no value. strays: ids of the
    list that the pool does not have. doubles: ids that the list names again. conflicts: with another value.
    """

    matched: int
    without: int
    strays: int
    doubles: int
    conflicts: int
    stray_places: list[int]
    conflict_places: list[int]


@dataclass(frozen=True)
class Shuffle:
    """How the work is cut; small, sent to workers. ranges: of the hash. runs: the blocks of each run, by name."""

    pool: Pool
    folder: str
    ranges: int
    runs: tuple[tuple[str, ...], ...]
    first_ids: tuple[int, ...]

    @classmethod
    def plan(cls, pool: Pool, folder: str, list_rows: int) -> "Shuffle":
        """Cut the work for a list of about so many rows, so that a piece holds about two million."""
        ranges = min(max(1, math.ceil(max(pool.rows, list_rows) / ROWS_AT_ONCE)), MAX_RANGES)
        runs = tuple(_runs(pool.blocks))
        shards = {block.name: block.shard for block in pool.blocks}
        first = tuple(_first_id(pool, run[0], shards[run[0]]) for run in runs)
        return cls(pool, folder, ranges, runs, first)

    def save_list(self, piece: str, hashes: UInt64Array, values: Float64Array, places: UInt64Array) -> None:
        """Write some rows of the list, cut by range."""
        rows = np.empty(len(hashes), LISTED)
        rows["hash"], rows["value"], rows["place"] = hashes, values, places
        self._save(f"list-{piece}", rows, self._range_of(hashes), self.ranges)

    def save_pool(self, run: int) -> None:
        """Write the hashes and row ids of a run of blocks, cut by range."""
        tables = [self.pool.table(block, ["identity", "row_id"]) for block in self.runs[run]]
        rows = np.empty(sum(table.num_rows for table in tables), POOLED)
        rows["hash"] = np.concatenate([table["identity"].to_numpy() for table in tables])
        rows["row_id"] = np.concatenate([table["row_id"].to_numpy() for table in tables])
        self._save(f"pool-{run}", rows, self._range_of(rows["hash"]), self.ranges)

    def merge(self, pieces: Sequence[str], doubles: Doubles, number: int) -> Merged:
        """Merge one range: write what was found cut by run, and the strays and doubles with their places."""
        listed = self._load([f"list-{piece}" for piece in pieces], number, LISTED)
        pooled = self._load([f"pool-{run}" for run in range(len(self.runs))], number, POOLED)
        listed = listed[np.lexsort((listed["place"], listed["hash"]))]
        again = np.append(False, listed["hash"][1:] == listed["hash"][:-1])
        starts = np.flatnonzero(~again)
        conflicting = _differs_from_first(listed["value"], again, starts)
        value = _one_value(listed["value"], starts, doubles)
        hashes = listed["hash"][starts]
        at, there = find_sorted(hashes, pooled["hash"])
        found = np.empty(int(there.sum()), FOUND)
        found["row_id"], found["value"] = pooled["row_id"][there], value[at[there]]
        found = found[np.argsort(found["row_id"])]
        run = np.searchsorted(np.array(self.first_ids, np.uint64), found["row_id"], side="right") - 1
        self._save(f"found-{number}", found, run, len(self.runs))
        used = np.zeros(len(hashes), np.bool_)
        used[at[there]] = True
        strays, conflicts = listed["place"][starts[~used]], listed["place"][conflicting]
        self._name("strays", number, strays)
        self._name("doubles", number, listed["place"][again])
        return Merged(
            len(found),
            int(np.isnan(found["value"]).sum()),
            len(strays),
            int(again.sum()),
            len(conflicts),
            strays[:EXAMPLES].tolist(),
            conflicts[:EXAMPLES].tolist(),
        )

    def gather(self, run: int) -> None:
        """Write the values of the rows of a run of blocks, one array per block, NaN for a row that was not found."""
        found = self._load([f"found-{number}" for number in range(self.ranges)], run, FOUND)
        found = found[np.argsort(found["row_id"])]
        for block in self.runs[run]:
            at, there = find_sorted(found["row_id"], self.pool.table(block, ["row_id"])["row_id"].to_numpy())
            values = np.full(len(at), np.nan)
            values[there] = found["value"][at[there]]
            write_array(self.values_of(block), values)

    def values_of(self, block: str) -> str:
        """Return the URI of the values of a block."""
        return storage.join(self.folder, "values", f"{block}.npy")

    def clear(self) -> None:
        """Remove what lies between the steps."""
        storage.remove(storage.join(self.folder, "shuffle"))

    def _range_of(self, hashes: UInt64Array) -> Int64Array:
        width = np.uint64(-(-(1 << 64) // self.ranges) if self.ranges > 1 else (1 << 64) - 1)
        return (hashes // width).astype(np.int64) if self.ranges > 1 else np.zeros(len(hashes), np.int64)

    def _save(self, name: str, rows: Array, part: Int64Array, parts: int) -> None:
        order = np.argsort(part, kind="stable")
        ends = np.append(0, np.cumsum(np.bincount(part, minlength=parts)))
        cut = rows[order]
        sections = [cut[first:last].tobytes() for first, last in pairwise(ends)]
        write_sections(storage.join(self.folder, "shuffle", name), sections)

    def _load(self, names: Sequence[str], number: int, kind: np.dtype[np.void]) -> Array:
        parts = [read_sections(storage.join(self.folder, "shuffle", name), number, number + 1)[0] for name in names]
        return np.concatenate([np.empty(0, kind), *(np.frombuffer(part, kind) for part in parts)])

    def _name(self, what: str, number: int, places: UInt64Array) -> None:
        """Write the places of some rows of the list: number of the file and row in it."""
        if len(places):
            table = pa.table({"file": places >> np.uint64(FILE_BITS), "row": places & np.uint64((1 << FILE_BITS) - 1)})
            write_table(storage.join(self.folder, what, f"{number:05d}.parquet"), table)


def _one_value(values: Float64Array, starts: Int64Array, doubles: Doubles) -> Float64Array:
    """Return one value for each id, given the values of its rows one behind the other, in order of place."""
    ends = np.append(starts[1:], len(values))
    if doubles == "last":
        last: Float64Array = values[ends - 1]
        return last
    if doubles == "mean" and len(values):
        known = ~np.isnan(values)
        sums = np.add.reduceat(np.where(known, values, 0.0), starts)
        counts = np.add.reduceat(known.astype(np.int64), starts)
        mean: Float64Array = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        return mean
    return values[starts]


def _differs_from_first(values: Float64Array, again: BoolArray, starts: Int64Array) -> BoolArray:
    first = values[starts][np.cumsum(~again) - 1] if len(values) else values
    different: BoolArray = again & (values != first) & ~(np.isnan(values) & np.isnan(first))
    return different


def _runs(blocks: Sequence[Block]) -> Iterator[tuple[str, ...]]:
    """Yield the names of consecutive blocks that together hold about two million rows."""
    ends = np.cumsum([block.rows for block in blocks])
    numbered = zip(((ends - 1) // ROWS_AT_ONCE).tolist(), blocks, strict=True)
    for _, part in groupby(numbered, key=lambda pair: pair[0]):
        yield tuple(block.name for _, block in part)


def _first_id(pool: Pool, block: str, shard: int) -> int:
    row_ids = pool.table(block, ["row_id"])["row_id"]
    return int(row_ids[0].as_py()) if len(row_ids) else shard << FILE_BITS
