"""Rows by what all margins read of them, counted block by block: the cells whose weights are found."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.annotate.balance.margins import Mean, Shares
from evenkeel.tasks.annotate.balance.newton import Cells
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.units import ancestors, cluster_level
from evenkeel.tasks.signal.groups import numbers_of
from evenkeel.tasks.step import Run

BINS = 64
MAX_CELLS = 1 << 22
FILE = "margins.json"


@dataclass(frozen=True)
class CellKeys:
    """The cell of a row, as one number. edges: of the bins of every column of numbers, (bins - 1,) float64 each."""

    source: AnnotationSource
    shares: tuple[Shares, ...]
    means: tuple[Mean, ...]
    edges: tuple[Float64Array, ...]

    def save(self, folder: str) -> None:
        """Write what `read` needs, as JSON."""
        about = {
            "shares": [[one.column, list(one.values)] for one in self.shares],
            "means": [list(one) for one in self.means],
            "edges": [one.tolist() for one in self.edges],
        }
        storage.write_json(storage.join(folder, FILE), about)

    @classmethod
    def read(cls, source: AnnotationSource, folder: str) -> Self:
        """Return the keys that lie in a folder."""
        about = storage.read_json(storage.join(folder, FILE))
        shares = []
        for column, values in about["shares"]:
            level = cluster_level(column)
            cluster = None if level is None else ancestors(source, level).astype(np.int32)
            shares.append(Shares(column, tuple(values), np.empty(0), cluster))
        edges = tuple(np.array(one) for one in about["edges"])
        return cls(source, tuple(shares), tuple(Mean(*one) for one in about["means"]), edges)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values every part of a key has; a row without a number is in a bin of its own."""
        return (*(len(one.values) for one in self.shares), *(len(one) + 2 for one in self.edges))

    @property
    def columns(self) -> list[str]:
        """The columns that keys are read from."""
        names = [one.column for one in self.shares if cluster_level(one.column) is None]
        return list(dict.fromkeys([*names, *(one.column for one in self.means)]))

    def keys(self, table: pa.Table) -> tuple[Int64Array, list[Float64Array]]:
        """Return the key of every row of a table, (n,) int64, and its numbers, NaN where it has none."""
        key = np.zeros(table.num_rows, np.int64)
        for one in self.shares:
            key = key * len(one.values) + one.codes(table)
        numbers = []
        for mean, edges in zip(self.means, self.edges, strict=True):
            x = numbers_of(table[mean.column], mean.column, self.source.where)
            numbers.append(x)
            place = np.where(np.isnan(x), len(edges) + 1, np.searchsorted(edges, x, side="right"))
            key = key * (len(edges) + 2) + place
        return key.astype(np.int64), numbers


class Counted(NamedTuple):
    """Cells by key, ascending. counts: (n,) float64 copies. sums: (n, means) float64 of the numbers, by copies."""

    keys: Int64Array
    counts: Float64Array
    sums: Float64Array


def count_cells(keys: CellKeys, run: Run) -> Counted:
    """Return the cells of the kept rows. Raises RecipeError where there are too many."""
    source = keys.source
    if np.prod(np.array(keys.sizes, np.float64)) >= 2**62:
        _refuse(source)
    found = run.compute.reduce(
        partial(_count, keys), partial(_added, source), source.blocks, work=source.pool.rows * 16
    )
    return found or Counted(np.empty(0, np.int64), np.empty(0), np.empty((0, len(keys.means))))


def as_cells(counted: Counted, keys: CellKeys, scales: Sequence[float]) -> Cells:
    """Return cells as the solver reads them: numbers as their mean's distance from the wanted one, over a scale."""
    codes, left = [], counted.keys
    for size in keys.sizes[::-1]:
        left, code = np.divmod(left, size)
        codes.append(code)
    codes = codes[::-1]
    numbers = np.zeros_like(counted.sums)
    for number, (mean, edges, scale) in enumerate(zip(keys.means, keys.edges, scales, strict=True)):
        there = codes[len(keys.shares) + number] <= len(edges)
        numbers[:, number] = np.where(there, (counted.sums[:, number] / counted.counts - mean.mean) / scale, 0.0)
    shares = np.stack(codes[: len(keys.shares)], axis=1) if keys.shares else np.zeros((len(counted.keys), 0))
    return Cells(counted.counts, shares.astype(np.int32), numbers)


def _count(keys: CellKeys, block: str) -> Counted:
    table = keys.source.kept(block, keys.columns)
    key, numbers = keys.keys(table)
    copies = table["copies"].to_numpy().astype(np.float64)
    sums = np.stack([np.nan_to_num(x) * copies for x in numbers], axis=1) if numbers else np.zeros((len(key), 0))
    return _summed(key, copies, sums)


def _summed(key: Int64Array, counts: Float64Array, sums: Float64Array) -> Counted:
    known, place = np.unique(key, return_inverse=True)
    columns = [np.bincount(place, sums[:, number], len(known)) for number in range(sums.shape[1])]
    added = np.stack(columns, axis=1) if columns else np.zeros((len(known), 0))
    return Counted(known, np.bincount(place, counts, len(known)).astype(np.float64), added.astype(np.float64))


def _added(source: AnnotationSource, one: Counted, other: Counted) -> Counted:
    keys, counts = np.concatenate([one.keys, other.keys]), np.concatenate([one.counts, other.counts])
    found = _summed(keys, counts, np.concatenate([one.sums, other.sums]))
    if len(found.keys) > MAX_CELLS:
        _refuse(source)
    return found


def _refuse(source: AnnotationSource) -> None:
    raise RecipeError(
        "the margins have too many combinations of values",
        expected=f"at most {MAX_CELLS:,}",
        where=source.where,
        remedy="name fewer margins, or columns with fewer values",
    )
