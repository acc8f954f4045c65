"""Number the kept rows in the order that training takes them: a curriculum, folds of it, batches or runs of one topic.

Sources: curriculum learning (Bengio et al. 2009); folding: rank r goes to fold r modulo the number of folds (DELT,
arXiv 2506.21545); batches of one cluster whose margins are spread evenly (TAS-Balanced, Hofstätter et al. 2021, arXiv
2104.06967); runs of one class (burstiness: Chan et al. 2022, arXiv 2205.05055).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.dtypes import Int64Array, UInt64Array
from evenkeel.infra.hashing import hash_identities
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.column import Column, Foreseen
from evenkeel.tasks.annotate.sorting import ascending, place_rows, read_places
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.through_stages import Stretches
from evenkeel.tasks.annotate.units import Units, cluster_level, missing_level
from evenkeel.tasks.signal.groups import numbers_of
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.step import Run

RANK = "ek_rank"


class Order(Annotation):
    """The place of each row in the training order, from 0; through one stage after another, where there are stages."""

    version: ClassVar[int] = 2

    kind: Literal["order"] = "order"
    by: str = Field("", description="The number that rows come by, the least first; `-loss` = the greatest first.")
    pattern: Literal["ascending", "folding", "batches", "bursts"] = Field(
        "ascending",
        description="ascending = one after another; folding = every third row, then every third from the second "
        "on, and so on; batches = each is of one cluster, and has an even share of all numbers; bursts = runs "
        "of one cluster.",
    )
    folds: int = Field(3, ge=2, le=10_000, description="With folding: passes over the range of numbers.")
    of: str = Field("level-1", description="With batches and bursts: `level-t`, or a group column.", min_length=1)
    batch: int = Field(256, ge=2, le=1 << 20, description="With batches and bursts: rows of a batch, or of a run.")

    @model_validator(mode="after")
    def _has_numbers(self) -> "Order":
        if self.pattern in ("ascending", "folding") and not self.column:
            raise ValueError(f"order: {self.pattern} needs by: the number that rows come by")
        return self

    @property
    def column(self) -> str:
        """The column of the number, without its sign."""
        return self.by.removeprefix("-")

    @property
    def by_unit(self) -> bool:
        """Whether rows of a cluster or group come together."""
        return self.pattern in ("batches", "bursts")

    def writes(self) -> list[Column]:
        """Return the column of the place."""
        return [Column(RANK, "int64", f"its place in the order of training: {self.pattern}")]

    def columns(self) -> tuple[str, ...]:
        """Return the number, and the group that batches are of."""
        of = [self.of] if self.by_unit and cluster_level(self.of) is None else []
        return tuple(name for name in dict.fromkeys([self.column, *of]) if name)

    def follows(self) -> tuple[str, ...]:
        """Return the splits and stages: rows for training come first, those of the first stage before the others."""
        return ("splits", "stages")

    def foresee(self, kept: int, clusters: Sequence[int]) -> list[Foreseen]:
        """Return the level that there is not."""
        missing = missing_level(self.of, len(clusters)) if self.by_unit else None
        return [] if missing is None else [missing]

    def fit(self, source: AnnotationSource, folder: str, run: Run) -> Mapping[str, object]:
        """Number the rows by cluster and number, and lay out the batches or runs of every cluster."""
        facts: dict[str, object] = {}
        everything, source = source, source.training()
        if source is not everything:
            rest = everything.held_out()
            place_rows(rest, HeldOutKeys(rest, self.seed), storage.join(folder, "rest"), run)
        stretches, units = Stretches.of(source), Units(self.of, folder) if self.by_unit else None
        many = 1 if units is None else len(Units.find(source, self.of, folder).count(source, run))
        sizes = (
            stretches.count(source, units, many, run) if stretches.columns or units else np.array([[source.kept_rows]])
        )
        write_array(storage.join(folder, "stretches.npy"), sizes.sum(axis=1))
        if self.by_unit:
            for name, array in layouts(sizes, self.batch, self.pattern == "batches", self.seed)._asdict().items():
                write_array(storage.join(folder, f"{name}.npy"), array)
            whole = int((sizes // self.batch).sum()) * self.batch
            facts = {"of": self.of, "batch": self.batch, "rows_in_whole_batches": whole}
        place_rows(source, OrderKeys(source, self, units, many, stretches), folder, run)
        return {"pattern": self.pattern, "stages": len(stretches.columns), **facts}

    def compute(self, source: AnnotationSource, block: str, fit: Fit) -> Mapping[str, pa.Array]:
        """Return the place of each row."""
        mine, places = source.training(), read_places(fit.folder, block)
        if self.pattern == "folding":
            rows = read_array(storage.join(fit.folder, "stretches.npy"))
            starts = np.cumsum(rows) - rows
            mine_is = np.searchsorted(np.cumsum(rows), places, side="right")
            places = starts[mine_is] + folded(places - starts[mine_is], rows[mine_is], self.folds)
        if self.by_unit:
            parts = (read_array(storage.join(fit.folder, f"{name}.npy")) for name in Layout._fields)
            places = arranged(places, Layout(*parts), self.batch, self.pattern == "batches")
        if mine is not source:
            trains = source.kept(block)["ek_split"].to_numpy(zero_copy_only=False) == "train"
            ranks = np.empty(len(trains), np.int64)
            ranks[trains] = places
            ranks[~trains] = mine.kept_rows + read_places(storage.join(fit.folder, "rest"), block)
            places = ranks
        return {RANK: pa.array(places)}


@dataclass(frozen=True)
class OrderKeys:
    """The order that places are counted in: cluster or group, then the number; or the number, then a hash.

    many: how many clusters or groups there are. Where there are stages, all that is of each stage in turn.
    """

    source: AnnotationSource
    order: Order
    units: Units | None
    many: int
    stretches: Stretches

    def __call__(self, block: str) -> tuple[UInt64Array, UInt64Array, UInt64Array]:
        """Return row ids, major and minor keys of the kept rows of a block."""
        rule = self.order
        table = self.source.kept(block, rule.columns())
        row_id = table["row_id"].to_numpy()
        hashed = hash_identities(rule.seed, table["identity"].to_numpy())
        number = hashed
        if rule.column:
            found = numbers_of(table[rule.column], rule.column, self.source.where)
            number = ascending(-found if rule.by.startswith("-") else found)
        if self.units is None:
            return row_id, self.stretches.before(table, number), hashed
        unit = self.stretches.number(table) * self.many + self.units.of(table)
        return row_id, unit.astype(np.uint64), number


@dataclass(frozen=True)
class HeldOutKeys:
    """The order of rows that are not for training: validation, then test, by hash."""

    source: AnnotationSource
    seed: int

    def __call__(self, block: str) -> tuple[UInt64Array, UInt64Array, UInt64Array]:
        """Return row ids, major and minor keys of these rows of a block."""
        table = self.source.kept(block)
        test = table["ek_split"].to_numpy(zero_copy_only=False) == "test"
        hashed = hash_identities(self.seed, table["identity"].to_numpy())
        return table["row_id"].to_numpy(), test.astype(np.uint64), hashed


class Layout(NamedTuple):
    """Where the batches or runs of every cluster go.

    starts: (k,) int64, rows of the clusters before. sizes: (k,). first: (k,), batches or runs of those before.
    positions: (batches,), the first place of each batch or run. rest: (k,), the place of the rows left over.
    """

    starts: Int64Array
    sizes: Int64Array
    first: Int64Array
    positions: Int64Array
    rest: Int64Array


def layouts(sizes: Int64Array, batch: int, whole: bool, seed: int) -> Layout:
    """Return the layout of the clusters of one stretch after another, of sizes (stretches, k) int64.

    A cluster counts once for each stretch; batches are shuffled among those of their stretch.
    """
    parts, rows, batches = [], 0, 0
    for one in sizes:
        found = layout(one, batch, whole, seed)
        parts.append(
            found._replace(
                starts=found.starts + rows,
                first=found.first + batches,
                positions=found.positions + rows,
                rest=found.rest + rows,
            )
        )
        rows, batches = rows + int(one.sum()), batches + len(found.positions)
    return Layout(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def layout(sizes: Int64Array, batch: int, whole: bool, seed: int) -> Layout:
    """Return the layout of clusters of some sizes, (k,) int64, their batches or runs shuffled among each other.

    whole: batches are full, and the rows left over, less than a batch a cluster, come last; else runs may be short.
    """
    counts = sizes // batch if whole else -(-sizes // batch)
    first = np.cumsum(counts) - counts
    total = int(counts.sum())
    lengths = np.full(total, batch, np.int64)
    if not whole:
        last = (first + counts - 1)[counts > 0]
        lengths[last] = (sizes - (counts - 1) * batch)[counts > 0]
    order = np.random.default_rng([seed, 0x0DE]).permutation(total)
    positions = np.empty(total, np.int64)
    positions[order] = np.cumsum(lengths[order]) - lengths[order]
    over = sizes - counts * batch if whole else np.zeros_like(sizes)
    rest = total * batch + np.cumsum(over) - over
    return Layout(np.cumsum(sizes) - sizes, sizes, first, positions, rest)


def arranged(places: Int64Array, plan: Layout, batch: int, whole: bool) -> Int64Array:
    """Return the places of rows in the order of training, (n,) int64, given those by cluster and number.

    In batches, row r of a cluster with m of them goes to batch r modulo m, so that of any range of the numbers each
    batch has its share to the row; the rows left over are spread evenly as well.
    """
    unit = np.searchsorted(plan.starts, places, side="right") - 1
    size, row = plan.sizes[unit], places - plan.starts[unit]
    if not whole:
        return plan.positions[plan.first[unit] + row // batch] + row % batch
    batches = size // batch
    over = size - batches * batch
    passed = row * over // np.maximum(size, 1)
    is_over = (row + 1) * over // np.maximum(size, 1) > passed
    inside, every = row - passed, np.maximum(batches, 1)
    number = np.where(is_over, 0, plan.first[unit] + inside % every)
    first = plan.positions[number] if len(plan.positions) else np.zeros_like(places)
    found: Int64Array = np.where(is_over, plan.rest[unit] + passed, first + inside // every)
    return found


def folded(ranks: Int64Array, rows: Int64Array, folds: int) -> Int64Array:
    """Return the places of rows of these ranks, of so many, where fold r mod L comes after those before, (n,) int64."""
    fold, more = ranks % folds, rows % folds
    return fold * (rows // folds) + np.minimum(fold, more) + ranks // folds
