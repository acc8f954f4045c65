"""Which cells of a grid over columns have rows: two passes over the pool, one for the bounds and one to count.

That a data set covers the conditions under which a system works, cell by cell, is a requirement that can be verified
(Cappi et al. 2024, arXiv 2406.14027).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.compute import Compute
from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.expression.values import NUMBER, TEXT, TRUTH, as_value, has_type
from evenkeel.tasks.ingest.pool import Block
from evenkeel.tasks.properties.answers import MOST_EXAMPLES, Counterexample
from evenkeel.tasks.properties.version_rows import VersionRows

MOST_CELLS = 1 << 18
Axis: TypeAlias = "int | Sequence[float] | Sequence[str]"
"""Bins of equal width between the least and the greatest value of the pool; or their edges; or values."""


class Cells(NamedTuple):
    """Rows by cell, (cells,) int64 each: of the pool and of the version. The first axis moves slowest."""

    pool: Int64Array
    version: Int64Array


class Coverage(NamedTuple):
    """cells: that are asked for. covered: of those, how many hold enough rows. examples: cells that do not."""

    cells: int
    covered: int
    examples: tuple[Counterexample, ...] = ()


def measure_coverage(over: Mapping[str, Axis], of: str, min_rows: int, rows: VersionRows, compute: Compute) -> Coverage:
    """Return how many cells of a grid hold at least `min_rows` rows of the version.

    over: the axes by column. of: `grid`, all cells, or `pool`, those with rows in the pool. Raises RecipeError where a
    column holds no numbers, or no texts where values are given, and where there are too many cells.
    """
    rows.check(over)
    bins = [column for column, axis in over.items() if isinstance(axis, int)]
    bounds = _bounds(bins, rows, compute) if bins else {}
    axes = {column: _axis(axis, bounds.get(column)) for column, axis in over.items()}
    if any(axis is None for axis in axes.values()):
        return Coverage(0, 0)
    known = {column: axis for column, axis in axes.items() if axis is not None}
    shape = [_size(axis) for axis in known.values()]
    if np.prod(shape, dtype=np.float64) > MOST_CELLS:
        raise RecipeError(
            f"the grid over {', '.join(over)} has too many cells",
            expected=f"at most {MOST_CELLS:,}",
            found=" x ".join(f"{size:,}" for size in shape),
            where=rows.where,
            remedy="have fewer bins, or several gates over fewer columns",
        )
    work = rows.pool.rows * 16 * (1 + len(known))
    found = compute.reduce(_Count(known, rows), _added, rows.pool.blocks, work=work)
    return _coverage(known, found, of, min_rows) if found is not None else Coverage(0, 0)


def _coverage(axes: Mapping[str, Float64Array | list[str]], found: Cells, of: str, min_rows: int) -> Coverage:
    asked = found.pool > 0 if of == "pool" else np.ones(len(found.pool), np.bool_)
    missing = np.flatnonzero(asked & (found.version < min_rows))
    worst = missing[np.argsort(-found.pool[missing], kind="stable")][:MOST_EXAMPLES]
    places = np.unravel_index(worst, [_size(axis) for axis in axes.values()])
    examples = [
        Counterexample(
            "cell",
            ", ".join(
                _interval(name, axis, int(place[n])) for (name, axis), place in zip(axes.items(), places, strict=True)
            ),
            f"{found.version[cell]:,} rows; the pool has {found.pool[cell]:,}",
            None,
            -float(found.pool[cell]),
        )
        for n, cell in enumerate(worst.tolist())
    ]
    return Coverage(int(asked.sum()), int(asked.sum()) - len(missing), tuple(examples))


def _interval(name: str, axis: Float64Array | list[str], place: int) -> str:
    if isinstance(axis, list):
        return f"{name} = {axis[place]}"
    return f"{name} {axis[place]:.4g} to {axis[place + 1]:.4g}"


def _axis(axis: Axis, bounds: tuple[float, float] | None) -> Float64Array | list[str] | None:
    """Return the edges of an axis, (bins + 1,), or its values; None where the pool has no number to lay it over."""
    if isinstance(axis, int):
        if bounds is None:
            return None
        low, high = bounds
        return np.linspace(low, high if high > low else low + 1.0, axis + 1)
    values = list(axis)
    if isinstance(values[0], str):
        return [str(value) for value in values]
    return np.array(values, np.float64)


def _size(axis: Float64Array | list[str]) -> int:
    return len(axis) if isinstance(axis, list) else len(axis) - 1


def _bounds(columns: Sequence[str], rows: VersionRows, compute: Compute) -> dict[str, tuple[float, float]]:
    """Return the least and the greatest finite number of some columns in the pool; a column without one is left out."""
    work = rows.pool.rows * 16 * len(columns)
    found = compute.reduce(_Bounds(tuple(columns), rows), _widened, rows.pool.blocks, work=work)
    if found is None:
        return {}
    return {name: (low, high) for name, (low, high) in zip(columns, found.tolist(), strict=True) if low <= high}


@dataclass(frozen=True)
class _Bounds:
    columns: tuple[str, ...]
    rows: VersionRows

    def __call__(self, block: Block) -> Float64Array:
        table = self.rows.columns(block, self.columns)
        found = np.tile([np.inf, -np.inf], (len(self.columns), 1))
        for place, name in enumerate(self.columns):
            values = _numbers(table[name], name, self.rows.where)
            values = values[np.isfinite(values)]
            if len(values):
                found[place] = values.min(), values.max()
        return found


def _widened(one: Float64Array, other: Float64Array) -> Float64Array:
    return np.stack([np.minimum(one[:, 0], other[:, 0]), np.maximum(one[:, 1], other[:, 1])], axis=1)


@dataclass(frozen=True)
class _Count:
    axes: Mapping[str, Float64Array | list[str]]
    rows: VersionRows

    def __call__(self, block: Block) -> Cells:
        table = self.rows.columns(block, self.axes)
        row_id = self.rows.pool.table(block, ["row_id"])["row_id"].to_numpy()
        cell, inside = np.zeros(len(row_id), np.int64), np.ones(len(row_id), np.bool_)
        for name, axis in self.axes.items():
            place = _places(table[name], name, axis, self.rows.where)
            inside &= place >= 0
            cell = cell * _size(axis) + np.maximum(place, 0)
        cells = int(np.prod([_size(axis) for axis in self.axes.values()]))
        kept = np.zeros(len(row_id), np.bool_)
        kept[np.searchsorted(row_id, self.rows.kept(row_id))] = True
        return Cells(*(np.bincount(cell[mask], minlength=cells) for mask in (inside, inside & kept)))


def _added(one: Cells, other: Cells) -> Cells:
    return Cells(one.pool + other.pool, one.version + other.version)


def _places(column: pa.ChunkedArray, name: str, axis: Float64Array | list[str], where: str) -> Int64Array:
    """Return the bin of every value on an axis, (n,) int64, -1 for null and what lies outside."""
    if isinstance(axis, list):
        value = as_value(column)
        if has_type(value, TRUTH):
            value = value.cast(TEXT)
        if not has_type(value, TEXT):
            raise _unlike(name, "texts, as values are given", str(column.type), where)
        place: Int64Array = pc.fill_null(pc.index_in(value, value_set=pa.array(axis)), -1).to_numpy().astype(np.int64)
        return place
    values = _numbers(column, name, where)
    found = np.searchsorted(axis, values, side="right") - 1
    found[values == axis[-1]] = len(axis) - 2
    return np.where((values >= axis[0]) & (values <= axis[-1]), found, -1)


def _numbers(column: pa.ChunkedArray, name: str, where: str) -> Float64Array:
    """Return a column as numbers, (n,) float64, NaN for null."""
    value = as_value(column)
    if has_type(value, TRUTH):
        value = value.cast(NUMBER)
    if not has_type(value, NUMBER):
        raise _unlike(name, "numbers, as bins or edges are given", str(column.type), where)
    numbers: Float64Array = value.to_numpy(zero_copy_only=False)
    return numbers


def _unlike(name: str, expected: str, found: str, where: str) -> RecipeError:
    return RecipeError(
        f"the column {name!r} does not fit the grid",
        expected=expected,
        found=found,
        where=where,
        remedy="list the values of texts, as in over: {lang: [de, en]}; give bins of numbers",
    )
