"""Count the strata of a pool, the combinations of values in its group columns, alone and crossed with leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evenkeel.infra.compute import Compute
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.strata.coding import Coding, code_columns, merge_codings

DENSE = 8
LEAF_BITS = np.int64(32)
LEAF_MASK = np.int64((1 << 32) - 1)


class Counted(NamedTuple):
    """Rows by key: distinct keys, ascending, and how many rows have each, (m,) int64."""

    keys: NDArray[np.int64]
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Strata:
    """The combinations of values in some group columns, in the order of the values. sizes: (strata,) int64 rows."""

    names: tuple[str, ...]
    coding: Coding
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of strata."""
        return len(self.sizes)

    @property
    def columns(self) -> list[str]:
        """Return the columns of the row table that a row's stratum is read from."""
        return group_columns(self.names)

    def of(self, table: pa.Table, block: str = "") -> NDArray[np.int64]:
        """Return the stratum of every row of a table, (n,) int64."""
        return self.coding.numbers([table[column] for column in self.columns])


@dataclass(frozen=True)
class CrossedStrata:
    """Strata, and how many rows of each leaf they have.

    strata, leaves, counts: (pairs,) int64, stratum, leaf and rows of every pair that holds rows, sorted by stratum and
    leaf.
    """

    by_value: Strata
    strata: NDArray[np.int64]
    leaves: NDArray[np.int64]
    counts: NDArray[np.int64]

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        keys: NDArray[np.int64] = (self.strata << LEAF_BITS) | self.leaves
        return keys

    def pair_of(self, table: pa.Table, block: str = "") -> NDArray[np.int64]:
        """Return the pair of stratum and leaf of every row of a table, (n,) int64."""
        key = (self.by_value.of(table) << LEAF_BITS) | table["leaf"].to_numpy()
        pair: NDArray[np.int64] = np.searchsorted(self._keys, key).astype(np.int64)
        return pair


def find_strata(rows: CandidateRows, names: Sequence[str], compute: Compute) -> Strata:
    """Count the rows of every stratum, in one pass where that was not done before.

    Raises RecipeError for a missing column.
    """
    if (known := _known(rows, names)) is not None:
        return known
    coding, counted = _count(rows, names, compute, leaves=False)
    return Strata(tuple(names), coding, counted.rows)


def _known(rows: CandidateRows, names: Sequence[str]) -> Strata | None:
    """Return the values of one column with their rows, where these were counted when its rows were mapped."""
    if rows.mapped is None or len(names) != 1:
        return None
    counts = rows.mapped.counts(*group_columns(names))
    if not counts:
        return None
    values = pa.array(counts, pa.string())
    order = pc.array_sort_indices(values)
    sizes = np.fromiter(counts.values(), np.int64, len(counts))[order.to_numpy()]
    return Strata(tuple(names), Coding((values.take(order),), ()), sizes)


def cross_strata(rows: CandidateRows, names: Sequence[str], compute: Compute) -> CrossedStrata:
    """Count the rows of every stratum in every leaf in one pass. Raises RecipeError for a missing column."""
    coding, counted = _count(rows, names, compute, leaves=True)
    strata = counted.keys >> LEAF_BITS
    sizes = np.rint(np.bincount(strata, counted.rows, len(coding))).astype(np.int64)
    return CrossedStrata(Strata(tuple(names), coding, sizes), strata, counted.keys & LEAF_MASK, counted.rows)


def merge_counted(left: Counted, right: Counted) -> Counted:
    """Return the rows by key of two parts of a pool; linear in the keys."""
    keys = np.concatenate([left.keys, right.keys])
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], np.concatenate([left.rows, right.rows])[order]
    starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1)) if len(keys) else order
    return Counted(keys[starts], np.add.reduceat(rows, starts) if len(keys) else rows)


def count_keys(keys: NDArray[np.int64]) -> Counted:
    """Return the distinct keys >= 0 of some rows, ascending, and how many rows have each."""
    if len(keys) and int(keys.max()) < DENSE * len(keys):
        counts = np.bincount(keys)
        known = np.flatnonzero(counts)
        return Counted(known, counts[known])
    return Counted(*np.unique(keys, return_counts=True))


def group_columns(names: Sequence[str]) -> list[str]:
    """Return the columns of the row table that hold some groups."""
    return [f"group.{name}" for name in names]


def _count(rows: CandidateRows, names: Sequence[str], compute: Compute, *, leaves: bool) -> tuple[Coding, Counted]:
    rows.check(group_columns(names))
    count = partial(_count_block, rows=rows, names=tuple(names), leaves=leaves)
    found = compute.reduce(count, _merge, rows.blocks, work=rows.pool.rows * 40)
    if found is None:
        nothing = np.empty(0, np.int64)
        return code_columns([pa.chunked_array([], pa.string()) for _ in names])[0], Counted(nothing, nothing)
    return found


def _count_block(block: str, rows: CandidateRows, names: tuple[str, ...], leaves: bool) -> tuple[Coding, Counted]:
    """Return the strata of a block, and its rows by stratum << 32 | leaf, the leaf being 0 where they are not asked."""
    table = rows.table(block, group_columns(names))
    coding, number = code_columns([table[column] for column in group_columns(names)])
    if not leaves:
        known, counts = count_keys(number)
        return coding, Counted(known << LEAF_BITS, counts)
    leaf = table["leaf"].to_numpy()
    width = int(leaf.max(initial=0)) + 1
    known, counts = count_keys(number * width + leaf)
    return coding, Counted(((known // width) << LEAF_BITS) | (known % width), counts)


def _merge(left: tuple[Coding, Counted], right: tuple[Coding, Counted]) -> tuple[Coding, Counted]:
    coding, *numbers = merge_codings(left[0], right[0])
    parts = [
        Counted((number[keys >> LEAF_BITS] << LEAF_BITS) | (keys & LEAF_MASK), rows)
        for number, (keys, rows) in zip(numbers, (left[1], right[1]), strict=True)
    ]
    return coding, merge_counted(*parts)
