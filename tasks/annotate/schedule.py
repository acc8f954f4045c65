"""One stage of training: how many copies every cell of the kept rows gives, and which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import Float64Array, Int32Array, Int64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.thresholds import (
    Sizes,
    Window,
    add_windows,
    exact,
    load,
    look_into,
    read_rows,
    save_rows,
)
from evenkeel.tasks.sample.blocks import SharedArray
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.draw_plan import CellsOf
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.planning import make_plan
from evenkeel.tasks.sample.quotas.allocation import water_fill
from evenkeel.tasks.sample.step import open_problem
from evenkeel.tasks.sample.strata.count import Counted, find_strata, merge_counted
from evenkeel.tasks.sample.strategy import Strategy
from evenkeel.tasks.step import Run

MAX_WIDENINGS = 8
WORK = 24
WIDER = 4.0


@dataclass(frozen=True)
class CellRule:
    """Which cell each row of the pool is in, and what the cells weigh.

    cells_of: None = the leaf. columns: what it reads. weights: (cells,) float64; None = as many as the copies of the
    version in the cell, times `factors` where there are some.
    """

    cells: int
    cells_of: CellsOf | None = None
    columns: tuple[str, ...] = ()
    weights: Float64Array | None = None
    factors: Float64Array | None = None


@dataclass(frozen=True)
class Schedule:
    """What a stage is drawn with.

    folder: of the arrays of the kept rows. rows: those of the pool, for cells. copies: of all kept rows.
    """

    source: AnnotationSource
    rows: CandidateRows
    folder: str
    run: Run
    copies: int

    @classmethod
    def open(cls, source: AnnotationSource, folder: str, run: Run, seed: int) -> "Schedule":
        """Read the kept rows once, and write what all stages need of them."""
        given = source.inputs
        rows = CandidateRows.open(given.ingest, given.embed, given.cluster, str(run.scratch), given.signals)
        preparing = partial(prepare, source, folder, seed)
        copies = sum(run.compute.map(preparing, source.blocks, work=source.pool.rows * WORK))
        return cls(source, rows, folder, run, copies)

    def by_version(self) -> CellRule:
        """Return the leaves, which weigh as much as the version has of them."""
        return CellRule(self.source.hierarchy().leaves)

    def by_strategy(self, strategy: Strategy, target: int, most: int, seed: int) -> CellRule:
        """Return the cells of a strategy, which weigh what it gives them of the pool.

        Raises RecipeError for a strategy that draws rows by their weights.
        """
        given = self.source.inputs
        inputs = SampleInputs(
            given.ingest,
            given.embed,
            given.dedup,
            given.cluster,
            given.partition,
            given.kernel_density,
            given.tag_counts,
            given.signals,
        )
        config = SamplingConfig(target=target, strategy=strategy, seed=seed, max_repeats=most)
        problem, _ = open_problem(config, inputs, self.run)
        plan = make_plan(config, problem)
        if plan.weights_of is not None:
            raise RecipeError(
                f"the strategy {strategy.name} draws rows by weights of their own, and a stage is drawn from cells",
                where=self.source.where,
                remedy="choose balanced, flat, temperature, uniform or another that sets quotas",
            )
        return CellRule(len(plan.sizes), plan.cells_of, tuple(plan.columns), plan.allocation.shares)

    def by_factors(self, raised: Mapping[str, Mapping[str, float]]) -> CellRule:
        """Return the strata of some group columns, which weigh as much as the version has of them times their factors.

        Raises RecipeError for a value that no row has.
        """
        strata = find_strata(self.rows, list(raised), self.run.compute)
        factors = np.ones(len(strata))
        codes = strata.coding.codes()
        for (group, values), code, known in zip(raised.items(), codes, strata.coding.dictionaries, strict=True):
            places = {value: number for number, value in enumerate(known.to_pylist())}
            for value, factor in values.items():
                if value not in places:
                    raise RecipeError(
                        f"a stage raises {group}={value}, and no row of the pool has it",
                        expected=f"one of {', '.join(list(places)[:20])}",
                        where=self.source.where,
                        remedy="correct the value, or leave it out",
                    )
                factors[code == places[value]] *= factor
        return CellRule(len(strata), strata.of, tuple(strata.columns), factors=factors)

    def draw(self, rule: CellRule, target: int, most: int, keep: str, out: str, seed: int) -> None:
        """Draw `target` copies, and write how many each row gives as the array `out` of each block.

        keep: the array of an earlier stage whose rows this one contains as they are, and draws no more of; "" = none.
        Raises RecipeError where the cells that have a weight do not have so many.
        """
        compute, blocks, work = self.run.compute, self.source.blocks, self.source.pool.rows * WORK
        numbering = partial(
            number_block, self.source, self.rows, self.folder, replace(rule, weights=None, factors=None), keep
        )
        counted = compute.reduce(numbering, merge_counted, blocks, work=work)
        sizes = Sizes.of(counted if counted is not None else Counted(np.empty(0, np.int64), np.empty(0, np.int64)))
        quotas = self._quotas(rule, sizes, target, most, seed)
        upto, widen = np.full(rule.cells, -np.inf), np.ones(rule.cells)
        for _ in range(MAX_WIDENINGS):
            first, last = sizes.around(quotas, most, widen)
            ends = tuple(SharedArray.of(one, self.folder, self.source.pool.scratch) for one in (first, last))
            found = compute.reduce(partial(look_block, self.folder, ends, most), add_windows, blocks, work=work)
            assert found is not None
            upto, missed = exact(found, quotas, first)
            if not len(missed):
                break
            widen[missed] *= WIDER
        limits = SharedArray.of(upto, self.folder, self.source.pool.scratch)
        compute.map(partial(take_block, self.folder, limits, most, keep, out), blocks, work=work)

    def _quotas(self, rule: CellRule, sizes: Sizes, target: int, most: int, seed: int) -> Int64Array:
        caps = sizes.per_cell(np.full(len(sizes.rows), most), rule.cells).astype(np.int64)
        weights = rule.weights
        if weights is None:
            weights = sizes.per_cell(sizes.copies, rule.cells)
            weights = weights if rule.factors is None else weights * rule.factors
        given = np.where(weights > 0, caps, 0)
        if int(given.sum()) < target:
            raise RecipeError(
                "the rows that a stage may take are too few",
                expected=f"{target:,} copies",
                found=f"{int(given.sum()):,}, each row at most {most} times",
                where=self.source.where,
                remedy="lower its share, raise max_repeats, or choose another strategy",
            )
        return water_fill(given, target, weights=weights, seed=seed).quotas if target else np.zeros_like(caps)


def prepare(source: AnnotationSource, folder: str, seed: int, block: str) -> int:
    """Write hash and copies of the kept rows of a block, and that no stage has taken any; return the copies."""
    table = source.kept(block)
    copies = np.minimum(table["copies"].to_numpy(), 1 << 15).astype(np.int32)
    u = uniform(seed, table["identity"].to_numpy())
    save_rows(folder, block, u=u, copies=copies, used=np.zeros(len(copies), np.int32))
    return int(copies.sum())


def number_block(
    source: AnnotationSource, rows: CandidateRows, folder: str, rule: CellRule, keep: str, block: str
) -> Counted:
    """Write the cell of each kept row of a block, -1 for one that an earlier stage keeps; return the rows by cell."""
    table = rows.table(block, rule.columns)
    place = np.searchsorted(table["row_id"].to_numpy(), source.row_ids(block))
    cell = cells_of(rule, table, block)[place].astype(np.int32)
    if keep:
        cell = np.where(load(folder, block, keep) > 0, np.int32(-1), cell)
    save_rows(folder, block, cell=cell)
    return read_rows(folder, block).counted()


def cells_of(rule: CellRule, table: pa.Table, block: str) -> Int64Array:
    """Return the cell of every row of a table, (n,) int64."""
    return table["leaf"].to_numpy().astype(np.int64) if rule.cells_of is None else rule.cells_of(table, block)


def look_block(folder: str, ends: Sequence[SharedArray], most: int, block: str) -> Window:
    """Return the copies of a block around the thresholds."""
    first, last = (one.read() for one in ends)
    return look_into(read_rows(folder, block), first, last, most)


def take_block(folder: str, limits: SharedArray, most: int, keep: str, out: str, block: str) -> int:
    """Write how many copies of each row of a block a stage takes, and add them to those used; return their sum."""
    rows = read_rows(folder, block)
    counts = rows.taken(limits.read(), most).astype(np.int32)
    save_rows(folder, block, used=rows.used + counts)
    if keep:
        counts = counts + load(folder, block, keep)
    save_rows(folder, block, **{out: counts})
    return int(counts.sum())


def taken_counts(source: AnnotationSource, folder: str, name: str, run: Run) -> tuple[int, int]:
    """Return how many rows and how many copies a stage takes."""
    found = run.compute.reduce(partial(_count, folder, name), np.add, source.blocks, work=source.pool.rows * 4)
    return (0, 0) if found is None else (int(found[0]), int(found[1]))


def _count(folder: str, name: str, block: str) -> Int64Array:
    counts: Int32Array = load(folder, block, name)
    return np.array([np.count_nonzero(counts), counts.sum()], np.int64)
