"""What the margins of weights are: shares of values, of clusters, and means of numbers, as a recipe writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.dtypes import BoolArray, Float64Array, Int32Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.units import ancestors, cluster_level
from evenkeel.tasks.cluster.hierarchy import read_rows
from evenkeel.tasks.ingest.named import read_named
from evenkeel.tasks.signal.groups import labels_of, numbers_of
from evenkeel.tasks.step import Run

OTHERS = "(others)"
MAX_VALUES = 1 << 16


@dataclass(frozen=True)
class Shares:
    """The shares that the values of a column, or clusters of a level, are to have; they add up to 1.

    values: strings, ascending for `column`; of a level, the numbers of clusters. cluster: (leaves,) the cluster of each
    leaf, for a level.
    """

    column: str
    values: tuple[str, ...]
    shares: Float64Array
    cluster: Int32Array | None = None

    def codes(self, table: pa.Table) -> Int32Array:
        """Return the place of the value of every row, (n,) int32; one that is not named is among the others."""
        if self.cluster is not None:
            others = self.values.index(OTHERS) if OTHERS in self.values else -1
            known = np.full(int(self.cluster.max(initial=-1)) + 1, others, np.int32)
            for place, value in enumerate(self.values):
                if value != OTHERS:
                    known[int(value)] = place
            found: Int32Array = known[self.cluster[table["leaf"].to_numpy()]]
            return found
        place = pc.index_in(labels_of(table[self.column]), value_set=pa.array(self.values, pa.string()))
        others = self.values.index(OTHERS) if OTHERS in self.values else -1
        codes: Int32Array = pc.fill_null(place, others).to_numpy(zero_copy_only=False).astype(np.int32)
        return codes

    def called(self, value: int) -> str:
        """Return what a message calls a value."""
        return f"{self.column}={self.values[value]}"


class Mean(NamedTuple):
    """The mean that a column of numbers is to have."""

    column: str
    mean: float


class Tally(NamedTuple):
    """What is counted of one column. numbers: count, sum, least and greatest; counts: rows by value."""

    numbers: tuple[float, float, float, float]
    counts: pa.Table


def is_number(source: AnnotationSource, column: str) -> bool:
    """Return whether a column holds numbers."""
    if cluster_level(column) is not None or not source.blocks:
        return False
    kind = read_named(source.pool, source.blocks[0], [column], source.where)[column].type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def count(source: AnnotationSource, column: str, everything: bool, run: Run) -> Tally:
    """Count the copies of kept rows by a column's value; everything: the rows from which sampling drew."""
    numbers = is_number(source, column)
    tally = partial(_tally, source, column, numbers, everything)
    found = run.compute.reduce(tally, partial(_added, source.where, column), source.blocks, work=source.pool.rows * 16)
    return found or Tally((0.0, 0.0, np.inf, -np.inf), _table({}))


def rows_of(source: AnnotationSource, block: str, columns: list[str], everything: bool) -> pa.Table:
    """Return copies, leaf and columns of the kept rows of a block, or of all rows from which sampling drew."""
    if not everything:
        return source.kept(block, columns)
    left = read_rows(source.inputs.cluster.uri, block)
    ids = source.pool.table(block, ["row_id"])["row_id"].to_numpy()
    table = pa.table({"leaf": left["leaf"], "copies": np.ones(left.num_rows, np.int64)})
    if columns:
        places = pa.array(np.searchsorted(ids, left["row_id"].to_numpy()))
        named = read_named(source.pool, block, columns, source.where).take(places)
        for name in columns:
            table = table.append_column(name, named[name])
    return table


def shares_of(
    source: AnnotationSource, column: str, wanted: Mapping[str, float] | str, kept: Tally, pool: Tally | None
) -> Shares:
    """Return the shares that a recipe asks for. wanted: uniform, pool, or shares by value; values that are not named
    share what is left in their own proportions.

    Raises RecipeError for a value without a kept row.
    """
    there = dict(zip(kept.counts["value"].to_pylist(), kept.counts["rows"].to_pylist(), strict=True))
    if wanted == "uniform":
        asked = {value: 1.0 / len(there) for value in there}
    elif isinstance(wanted, str):
        assert pool is not None
        asked = dict(zip(pool.counts["value"].to_pylist(), map(float, pool.counts["rows"].to_pylist()), strict=True))
        asked = {value: rows for value, rows in asked.items() if value in there}
        total = sum(asked.values())
        asked = {value: rows / total for value, rows in asked.items()}
    else:
        asked = {str(value): float(share) for value, share in wanted.items()}
        total = sum(asked.values())
        rest = [value for value in there if value not in asked]
        if lacking := [value for value, share in asked.items() if share > 0 and value not in there]:
            refuse(source, f"{column}={lacking[0]} is to have a share of {asked[lacking[0]]:g} and has no kept row")
        if total < 1 - 1e-9:
            if not rest:
                refuse(source, f"the shares of {column} sum to {total:g}, and every value that occurs is named")
            asked[OTHERS] = 1 - total
        elif rest:
            asked[OTHERS] = 0.0
    values = tuple(sorted(asked))
    shares = np.array([asked[value] for value in values])
    level = cluster_level(column)
    cluster = None if level is None else ancestors(source, level).astype(np.int32)
    return Shares(column, values, shares / shares.sum(), cluster)


def refuse(source: AnnotationSource, why: str) -> NoReturn:
    """Raise RecipeError for margins that no weights meet."""
    raise RecipeError(
        "no weights of the kept rows meet these margins",
        found=why,
        where=source.where,
        remedy="loosen that margin, or sample so that such rows are kept",
    )


def _tally(source: AnnotationSource, column: str, numbers: bool, everything: bool, block: str) -> Tally:
    level = cluster_level(column)
    table = rows_of(source, block, [column] if level is None else [], everything)
    copies = table["copies"].to_numpy().astype(np.float64)
    if numbers:
        x = numbers_of(table[column], column, source.where)
        there: BoolArray = ~np.isnan(x)
        x, copies = x[there], copies[there]
        least, greatest = (float(x.min()), float(x.max())) if len(x) else (np.inf, -np.inf)
        return Tally((float(copies.sum()), float(copies @ x), least, greatest), _table({}))
    if level is not None:
        held = np.bincount(ancestors(source, level)[table["leaf"].to_numpy()], copies)
        return Tally((0.0, 0.0, np.inf, -np.inf), _table({str(one): held[one] for one in np.flatnonzero(held)}))
    labels = pa.table({"value": labels_of(table[column]), "rows": copies})
    counted = labels.group_by("value", use_threads=False).aggregate([("rows", "sum")])
    return Tally((0.0, 0.0, np.inf, -np.inf), counted.rename_columns(["value", "rows"]).select(["value", "rows"]))


def _table(counts: Mapping[str, float]) -> pa.Table:
    return pa.table(
        {"value": pa.array(list(counts), pa.string()), "rows": pa.array(list(counts.values()), pa.float64())}
    )


def _added(where: str, column: str, one: Tally, other: Tally) -> Tally:
    counted = pa.concat_tables([one.counts, other.counts]).group_by("value", use_threads=False)
    table = counted.aggregate([("rows", "sum")]).rename_columns(["value", "rows"]).select(["value", "rows"])
    if table.num_rows > MAX_VALUES:
        raise RecipeError(
            f"the column {column!r} has too many values to be a margin",
            expected=f"at most {MAX_VALUES:,}",
            where=where,
            remedy="name a column with fewer values, or cut its numbers into bins",
        )
    a, b = one.numbers, other.numbers
    return Tally((a[0] + b[0], a[1] + b[1], min(a[2], b[2]), max(a[3], b[3])), table)
