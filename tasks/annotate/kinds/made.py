"""Rows made between kept rows, so that small groups weigh more: apart from the real ones, with their parents named.

Sources: SMOTE (Chawla et al. 2002, arXiv 1106.1813); mixup (Zhang et al. 2018, arXiv 1710.09412), between any
near rows, or between cells of a grid (BLAST, arXiv 2505.17871).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array
from evenkeel.infra.dtypes import Int64Array, UInt64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import hash_identities
from evenkeel.tasks.annotate.annotation import Annotation, near_rows_cost
from evenkeel.tasks.annotate.column import Column
from evenkeel.tasks.annotate.sorting import place_rows
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.signal.groups import NO_VALUE, labels_of
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload

MADE, SPLIT = "ek_made_rows", "ek_split"


class Made(Annotation):
    """Rows between a kept row and one near it, in a table of their own: vector, parents, and `ek_made`."""

    kind: Literal["made"] = "made"
    rule: Literal["smote", "mixup"] = Field(
        "smote", description="smote: between rows of one group value, evenly; mixup: between any two, mostly near one."
    )
    group: str = Field("", description="The group column whose small values get rows; needed for smote.")
    over: Literal["", "grid"] = Field(
        "",
        description="mixup: grid = the cells of a grid over the two largest principal components are filled up, by "
        "rows mixed with those of other cells.",
    )
    side: int = Field(100, ge=2, le=1000, description="over: grid: cells along each side of the grid.")
    k: int = Field(5, ge=1, le=100, description="Among how many nearest rows the second parent is drawn.")
    up_to: Literal["even"] | int = Field(
        "even",
        description="Rows of each group value or cell, kept and made together; even = as many as the largest has.",
    )
    alpha: float = Field(0.2, gt=0, description="mixup: of the beta distribution; small = made rows are near a parent.")
    at_most: float = Field(0.5, gt=0, lt=1, description="Share of made rows in the version; more stop the run.")

    @model_validator(mode="after")
    def _over_a_grid_by_mixup(self) -> Self:
        if self.over and (self.rule != "mixup" or self.group):
            raise ValueError("made: over: grid is for kind: mixup, without a group: its cells are what is filled up")
        return self

    @classmethod
    def from_section(cls, written: object) -> list[object]:
        """Return the annotations of a section; `kind` is its rule there: `{kind: smote, group: label}`."""
        listed = written if isinstance(written, list) else [written]
        return [
            {("rule" if name == "kind" else name): value for name, value in one.items()}
            if isinstance(one, dict)
            else one
            for one in listed
        ]

    def writes(self) -> list[Column]:
        """Return the column that counts what is made of a row."""
        return [Column(MADE, "int32", f"how many rows were made of it by {self.rule}, in the table made")]

    def columns(self) -> tuple[str, ...]:
        """Return the group column."""
        return (f"group.{self.group.removeprefix('group.')}",) if self.group else ()

    def follows(self) -> tuple[str, ...]:
        """Return that rows of validation and test have no children."""
        return ("splits",)

    def reads_vectors(self) -> bool:
        """Return that rows are made of vectors."""
        return True

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of kept rows that are compared with those of nine leaves, at most 1,024 of each."""
        return near_rows_cost(work)

    def fit(self, source: AnnotationSource, folder: str, run: Run) -> Mapping[str, object]:
        """Make the rows; return how many. Raises RecipeError where they are too many, or a group is too small."""
        from evenkeel.tasks.annotate.making import make_rows

        if self.over:
            return self._fit_grid(source, folder, run)
        values, sizes = self._sizes(source, run)
        wanted = self._wanted(source, values, sizes)
        keys = ParentKeys(source, self, tuple(values))
        place_rows(source, keys, folder, run)
        starts = np.cumsum(sizes) - sizes
        whole, rest = np.divmod(wanted, np.maximum(sizes, 1))
        ends = np.stack([starts, whole, rest], axis=1).astype(np.int64)
        column = self.columns()[0] if self.columns() else ""
        choose = partial(parents_of, source, self.columns())
        made = make_rows(source, choose, self.rule, self.k, self.alpha, column, ends, folder, self.seed, run)
        return {
            "made": sum(made),
            "wanted": dict(zip(values, wanted.tolist(), strict=True)),
            "share": round(sum(made) / max(1, sum(made) + source.kept_rows), 6),
            "files": len(made),
        }

    def _fit_grid(self, source: AnnotationSource, folder: str, run: Run) -> Mapping[str, object]:
        from evenkeel.tasks.annotate.gridded import Gridded

        grid = Gridded.over(source, partial(parents_of, source, ()), self.side, self.alpha, folder, self.seed)
        sizes = grid.sizes(run)
        occupied = int((sizes > 0).sum())
        if occupied < 2:
            raise RecipeError(
                "no row can be mixed with one of another cell: all lie in one cell of the grid",
                expected="two occupied cells",
                where=source.where,
                remedy="raise side",
            )
        level = int(sizes.max(initial=0)) if self.up_to == "even" else int(self.up_to)
        wanted = np.where(sizes > 0, np.maximum(level - sizes, 0), 0)
        self._require_few(int(wanted.sum()), source)
        made = grid.make(wanted, sizes, run)
        share = round(sum(made) / max(1, sum(made) + source.kept_rows), 6)
        return {"made": sum(made), "occupied": occupied, "up_to": level, "share": share, "files": len(made)}

    def compute(self, source: AnnotationSource, block: str, fit: Fit) -> Mapping[str, pa.Array]:
        """Return how many rows were made of each row."""
        number = source.pool.number(block)
        ids = source.pool.table(block, ["row_id"])["row_id"].to_numpy()
        counts = np.zeros(len(ids), np.int32)
        for file in range(int(str(fit.facts["files"]))):
            bases = map_array(storage.join(fit.folder, f"bases-{file}.npy"), Path(source.pool.scratch))
            start, stop = np.searchsorted(bases["block"], [number, number + 1])
            np.add.at(counts, bases["row"][start:stop], bases["made"][start:stop])
        return {MADE: pa.array(counts[np.searchsorted(ids, source.row_ids(block))])}

    def _sizes(self, source: AnnotationSource, run: Run) -> tuple[list[str], Int64Array]:
        """Return the values of the group, ascending, and how many parents each has."""
        found = run.compute.reduce(
            partial(_count, source, self.columns()), _added, source.blocks, work=source.pool.rows * 16
        )
        counted = {} if found is None else dict(zip(found["value"].to_pylist(), found["rows"].to_pylist(), strict=True))
        values = sorted(counted)
        return values, np.array([counted[value] for value in values], np.int64)

    def _wanted(self, source: AnnotationSource, values: list[str], sizes: Int64Array) -> Int64Array:
        """Return how many rows are made of each value, (values,) int64."""
        level = int(sizes.max(initial=0)) if self.up_to == "even" else int(self.up_to)
        wanted: Int64Array = np.maximum(level - sizes, 0)
        alone = [value for value, size, more in zip(values, sizes, wanted, strict=True) if more and size < 2]
        if alone:
            raise RecipeError(
                f"no row can be made of {self.group or 'the version'}={alone[0]}: it has one row",
                expected="two rows and more of each value that is to grow",
                where=source.where,
                remedy="keep more such rows (sampling.shares), or lower up_to",
            )
        self._require_few(int(wanted.sum()), source)
        return wanted

    def _require_few(self, made: int, source: AnnotationSource) -> None:
        """Raise RecipeError where more rows would be made than `at_most` allows."""
        share = made / max(1, made + source.kept_rows)
        if share > self.at_most:
            raise RecipeError(
                "more rows would be made than the version may hold",
                expected=f"at most {self.at_most:.0%} made rows",
                found=f"{share:.1%}: {made:,} made, {source.kept_rows:,} kept",
                where=source.where,
                remedy="lower up_to, or raise at_most",
            )


@dataclass(frozen=True)
class ParentKeys:
    """The order of the parents: by value of the group, then by hash; rows that are no parents come last."""

    source: AnnotationSource
    made: Made
    values: tuple[str, ...]

    def __call__(self, block: str) -> tuple[UInt64Array, UInt64Array, UInt64Array]:
        """Return row ids, major and minor keys of the kept rows of a block."""
        columns = self.made.columns()
        table = self.source.kept(block, columns)
        codes = np.zeros(table.num_rows, np.int64)
        if columns:
            place = pc.index_in(labels_of(table[columns[0]]), value_set=pa.array(self.values, pa.string()))
            codes = pc.fill_null(place, 0).to_numpy(zero_copy_only=False).astype(np.int64)
        parents = is_parent(table, columns)
        major = np.where(parents, codes, len(self.values)).astype(np.uint64)
        return table["row_id"].to_numpy(), major, hash_identities(self.made.seed, table["identity"].to_numpy())


def is_parent(table: pa.Table, columns: tuple[str, ...]) -> np.ndarray:
    """Return which kept rows may have children: those for training that have a value in the group, (n,) bool."""
    found = np.ones(table.num_rows, bool)
    if SPLIT in table.column_names:
        found &= pc.equal(table[SPLIT], "train").to_numpy(zero_copy_only=False)
    for column in columns:
        found &= pc.not_equal(labels_of(table[column]), NO_VALUE).to_numpy(zero_copy_only=False)
    return found


def parents_of(source: AnnotationSource, columns: tuple[str, ...], block: str) -> UInt64Array:
    """Return the row ids of the rows of a block that may have children, ascending, (n,) uint64."""
    table = source.kept(block, columns)
    return np.asarray(table["row_id"].to_numpy()[is_parent(table, columns)], np.uint64)


def _count(source: AnnotationSource, columns: tuple[str, ...], block: str) -> pa.Table:
    table = source.kept(block, columns)
    table = table.filter(pa.array(is_parent(table, columns)))
    labels = labels_of(table[columns[0]]) if columns else pa.array(["all rows"] * table.num_rows, pa.string())
    counted = pc.value_counts(labels)
    return pa.table({"value": counted.field("values"), "rows": counted.field("counts")})


def _added(one: pa.Table, other: pa.Table) -> pa.Table:
    joined = pa.concat_tables([one, other]).group_by("value", use_threads=False).aggregate([("rows", "sum")])
    return joined.rename_columns(["value", "rows"]).select(["value", "rows"])
