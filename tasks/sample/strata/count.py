"""Count the strata of a pool, the combinations of values in its group columns, alone and crossed with leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evenkeel.infra.compute import Compute
from evenkeel.tasks.sample.candidates import CandidateRows

NONE = "(none)"


@dataclass(frozen=True)
class Strata:
    """The combinations of values in some group columns, and how many rows of each leaf have them.

    values: sorted combinations. leaves, strata, counts: (pairs,) int64, leaf, stratum and rows of every pair that holds
    rows, sorted by stratum and leaf.
    """

    names: tuple[str, ...]
    values: list[tuple[str, ...]]
    leaves: NDArray[np.int64]
    strata: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def columns(self) -> list[str]:
        """Return the columns of the row table that a row's stratum is read from."""
        return [f"group.{name}" for name in self.names]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Return the rows of each stratum, (strata,) int64."""
        sizes: NDArray[np.int64] = np.rint(np.bincount(self.strata, self.counts, len(self.values))).astype(np.int64)
        return sizes

    @cached_property
    def _numbers(self) -> dict[tuple[str, ...], int]:
        return {value: number for number, value in enumerate(self.values)}

    def of(self, table: pa.Table, block: str = "") -> NDArray[np.int64]:
        """Return the stratum of every row of a table, (n,) int64."""
        keys, inverse = _combinations(table, self.names)
        numbers: NDArray[np.int64] = np.array([self._numbers[key] for key in keys], np.int64)[inverse]
        return numbers

    def pair_of(self, table: pa.Table, block: str = "") -> NDArray[np.int64]:
        """Return the pair of stratum and leaf of every row of a table, (n,) int64."""
        wide = int(self.leaves.max(initial=0)) + 1
        known = self.strata * wide + self.leaves
        pair: NDArray[np.int64] = np.searchsorted(known, self.of(table) * wide + table["leaf"].to_numpy())
        return pair


def find_strata(rows: CandidateRows, names: Sequence[str], compute: Compute) -> Strata:
    """Count the rows of every stratum and leaf in one pass. Raises RecipeError for a missing column."""
    rows.check([f"group.{name}" for name in names])
    counted: dict[tuple[tuple[str, ...], int], int] = {}
    parts = compute.map(partial(_count, rows=rows, names=tuple(names)), rows.blocks, work=rows.pool.rows * 40)
    for part in parts:
        for key, count in part.items():
            counted[key] = counted.get(key, 0) + count
    values = sorted({value for value, _ in counted})
    number = {value: place for place, value in enumerate(values)}
    pairs = sorted((number[value], leaf, count) for (value, leaf), count in counted.items())
    strata, leaves, counts = (
        np.array(part, np.int64) for part in (zip(*pairs, strict=True) if pairs else ((), (), ()))
    )
    return Strata(tuple(names), values, leaves, strata, counts)


def _count(block: str, rows: CandidateRows, names: tuple[str, ...]) -> dict[tuple[tuple[str, ...], int], int]:
    table = rows.table(block, [f"group.{name}" for name in names])
    keys, inverse = _combinations(table, names)
    wide = int(pc.max(table["leaf"]).as_py() or 0) + 1
    pairs, counts = np.unique(inverse * wide + table["leaf"].to_numpy(), return_counts=True)
    return {(keys[pair // wide], int(pair % wide)): int(n) for pair, n in zip(pairs, counts, strict=True)}


def _combinations(table: pa.Table, names: Sequence[str]) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
    """Return the distinct combinations in a table, and for every row the index of its own."""
    code = np.zeros(table.num_rows, np.int64)
    dictionaries = []
    for name in names:
        coded = pc.fill_null(table[f"group.{name}"], NONE).combine_chunks().dictionary_encode()
        dictionaries.append(coded.dictionary.to_pylist())
        code = code * max(1, len(dictionaries[-1])) + coded.indices.to_numpy()
    distinct, inverse = np.unique(code, return_inverse=True)
    keys = []
    for number in distinct.tolist():
        key = []
        for values in reversed(dictionaries):
            number, place = divmod(number, max(1, len(values)))
            key.append(values[place])
        keys.append(tuple(reversed(key)))
    return keys, inverse
