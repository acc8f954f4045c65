"""The rows that have a label: their vectors, classes and leaves, gathered from all blocks."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.dtypes import BoolArray, Float32Array, Float64Array, Int64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.strata.coding import NONE

MAX_LABELLED = 20_000
SEED = 0x6C61_6265


@dataclass(frozen=True)
class Labelled:
    """The rows with a label, at most 20,000 by a hash of the id. classes: their names, ascending.

    labels: (n,) int64 into classes. vectors: (n, d) float32. counts: (classes,) int64 of all labelled rows. by_leaf:
    (leaves,) int64, labelled rows of each.
    """

    classes: tuple[str, ...]
    labels: Int64Array
    vectors: Float32Array
    counts: Int64Array
    by_leaf: Int64Array

    @property
    def rows(self) -> int:
        """How many rows have a label."""
        return int(self.counts.sum())


class Gathered(NamedTuple):
    """Labelled rows of some blocks. hashes: (n,) float64, by which the first are kept. names: (n,) of string."""

    hashes: Float64Array
    names: pa.Array
    vectors: Float32Array
    counted: pa.Table
    by_leaf: Int64Array


def gather_labelled(column: tuple[str, ...], problem: SamplingProblem) -> Labelled:
    """Return the rows that have a value in a group column; none without one.

    Raises RecipeError where the pool has no such column.
    """
    rows, leaves, found = problem.rows, problem.tree.leaves, None
    rows.check(column)
    if column:
        gather = partial(_gather, rows=rows, column=column[0], leaves=leaves)
        found = problem.compute.reduce(gather, _joined, rows.blocks, work=rows.pool.rows * 40)
    if found is None:
        nothing = np.empty(0, np.int64)
        return Labelled((), nothing, np.empty((0, 0), np.float32), nothing, np.zeros(leaves, np.int64))
    counted = found.counted.sort_by("name")
    labels = pc.index_in(found.names, value_set=counted["name"].combine_chunks()).to_numpy(zero_copy_only=False)
    order = np.argsort(found.hashes, kind="stable")
    return Labelled(
        tuple(counted["name"].to_pylist()),
        np.asarray(labels, np.int64)[order],
        found.vectors[order],
        counted["rows"].to_numpy().astype(np.int64),
        found.by_leaf,
    )


def require_classes(labelled: Labelled, rule: str, column: str) -> None:
    """Raise RecipeError where fewer than two classes have a label."""
    if len(labelled.classes) < 2:
        found = f"{labelled.rows:,} labelled row(s)" + (f", all {labelled.classes[0]!r}" if labelled.classes else "")
        raise RecipeError(
            f"rows to label are chosen by {rule} from labels of two classes or more",
            expected=f"two values in {column}",
            found=found,
            where="sampling.strategy",
            remedy="label a first batch by rule: clusters, which needs no label",
        )


def is_labelled(column: pa.ChunkedArray) -> BoolArray:
    """Return which rows have a value, (n,) bool."""
    found: BoolArray = pc.not_equal(pc.fill_null(column, NONE), NONE).to_numpy()
    return found


def _gather(block: str, rows: CandidateRows, column: str, leaves: int) -> Gathered:
    table = rows.table(block, ["identity", column])
    table = table.filter(pa.array(is_labelled(table[column])))
    names = table[column].combine_chunks().cast(pa.string())
    counted = pc.value_counts(names)
    return _first(
        Gathered(
            uniform(SEED, table["identity"].to_numpy()),
            names,
            rows.vectors(block, table["row_id"].to_numpy()),
            pa.table({"name": counted.field("values"), "rows": counted.field("counts")}),
            np.bincount(table["leaf"].to_numpy(), minlength=leaves).astype(np.int64),
        )
    )


def _joined(one: Gathered, other: Gathered) -> Gathered:
    counted = pa.concat_tables([one.counted, other.counted]).group_by("name", use_threads=False)
    return _first(
        Gathered(
            np.concatenate([one.hashes, other.hashes]),
            pa.concat_arrays([one.names, other.names]),
            np.concatenate([one.vectors, other.vectors]),
            counted.aggregate([("rows", "sum")]).rename_columns(["name", "rows"]),
            one.by_leaf + other.by_leaf,
        )
    )


def _first(found: Gathered) -> Gathered:
    if len(found.hashes) <= MAX_LABELLED:
        return found
    kept = np.argsort(found.hashes, kind="stable")[:MAX_LABELLED]
    return found._replace(
        hashes=found.hashes[kept], names=found.names.take(pa.array(kept)), vectors=found.vectors[kept]
    )
