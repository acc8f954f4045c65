"""Adjust a plan so that the shares of group values, of one column or of several, and the rows of leaves keep bounds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.config import GroupShare
from evenkeel.tasks.sample.draw_plan import CellsOf, DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import Allocation, split, water_fill
from evenkeel.tasks.sample.quotas.raking import Margin, conflict, move_within, rake, round_to_margins
from evenkeel.tasks.sample.quotas.tree import ClusterTree
from evenkeel.tasks.sample.strata.count import DENSE, Counted, Strata, count_keys, find_strata, merge_counted

MAX_CROSSED = 1 << 20
NAMED = 6


class Numbering(Protocol):
    """Says which stratum, or which domain, a row is in."""

    def of(self, table: pa.Table, block: str = "") -> NDArray[np.int64]:
        """Return the number of every row of a table, (n,) int64."""


@dataclass(frozen=True)
class Crossing:
    """Numbers rows by stratum, leaf and cell of a plan, as far as each is asked for.

    strata: None = all rows are one stratum. leaves, cells: how many there are; leaves of 1 = the leaf does not count.
    """

    strata: Numbering | None
    leaves: int
    cells: int
    cells_of: CellsOf | None

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.int64]:
        """Return (stratum * leaves + leaf) * cells + cell of every row of a table, (n,) int64."""
        leaf = table["leaf"].to_numpy().astype(np.int64)
        number = np.zeros(table.num_rows, np.int64) if self.strata is None else self.strata.of(table, block)
        if self.leaves > 1:
            number = number * self.leaves + leaf
        return number * self.cells + (leaf if self.cells_of is None else self.cells_of(table, block))


@dataclass(frozen=True)
class CrossedCells:
    """The cell of a row: the place of its number among those that occur. known: (cells,) int64, sorted."""

    crossing: Crossing
    known: NDArray[np.int64]

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.int64]:
        """Return the cell of every row of a table, (n,) int64."""
        number = self.crossing(table, block)
        if len(number) and self.known[-1] < DENSE * len(number):  # looked up, in place of searched
            place = np.zeros(int(self.known[-1]) + 1, np.int64)
            place[self.known] = np.arange(len(self.known))
            return place[number]
        return np.searchsorted(self.known, number).astype(np.int64)


def bound_plan(plan: DrawPlan, bounds: Sequence[GroupShare], problem: SamplingProblem, repeats: int) -> DrawPlan:
    """Return a plan that keeps bounds on group values, and floor and cap of leaves where it brings cells of its own.

    Otherwise it is as close to the plan's proportions as the bounds allow. The totals of one group column, or of the
    leaves, are water-filled with the plan's own totals as weights; several margins are raked. Inside, every cell keeps
    its proportion. repeats: copies of a row at most. Raises RecipeError naming the bounds that cannot be kept together.
    """
    limits = problem.limits
    of_leaves = (limits.floor > 0 or limits.cap is not None) and (bool(bounds) or plan.cells_of is not None)
    of_leaves &= plan.weights_of is None
    if not bounds and not of_leaves:
        return plan
    if plan.weights_of is not None:
        raise RecipeError(
            "bounds on shares need a strategy with quotas; this one draws rows by their weights",
            where="sampling.shares",
            remedy="choose balanced, flat, uniform, ... or remove sampling.shares",
        )
    groups = sorted({bound.group for bound in bounds})
    strata = find_strata(problem.rows, groups, problem.compute) if groups else None
    leaves = problem.tree.leaves if of_leaves else 1
    crossing = Crossing(strata, leaves, len(plan.sizes), plan.cells_of)
    columns = tuple(dict.fromkeys([*plan.columns, *(strata.columns if strata is not None else [])]))
    known, counts = count_crossed(crossing, columns, problem)
    cell = known % len(plan.sizes)
    wanted = plan.allocation.shares[cell] * counts / np.maximum(1, plan.sizes[cell]) + 1e-9 * counts
    caps, target = counts * repeats, int(plan.allocation.quotas.sum())
    keys, above = np.unique(known // len(plan.sizes), return_inverse=True)
    room = np.rint(np.bincount(above, caps, len(keys))).astype(np.int64)
    totals = np.bincount(above, wanted, len(keys)).astype(np.float64)
    margins = []
    if of_leaves:
        margins.append(_leaf_margin(keys % leaves, room, problem))
        target = min(target, int(margins[0].upper.sum()))
    if strata is not None:
        margins += _group_margins(keys // leaves, room, strata, bounds, target)
    tree = ClusterTree(counts, (above.astype(np.int32),))
    own = Margin(cell, plan.allocation.quotas, plan.allocation.quotas, str)
    if strata is None and target == own.upper.sum() and len(known) <= MAX_CROSSED:
        below = [Margin(margins[0].of[above], margins[0].lower, margins[0].upper, margins[0].label), own]
        raked = rake(wanted, caps, below, target)
        if raked.meets:
            allocation = round_to_margins(raked.shares, caps, below, target, problem.seed)
            return _crossed(plan, allocation, counts, CrossedCells(crossing, known), columns, {})
    top = _meet(totals, room, margins, target, problem.seed)
    allocation = split(tree, caps, target, weights=[wanted, totals], seed=problem.seed, top=top)
    facts = {} if strata is None else {"shares": _totals(margins[-len(groups) :], groups, strata, top)}
    return _crossed(plan, allocation, counts, CrossedCells(crossing, known), columns, facts)


def _crossed(
    plan: DrawPlan,
    allocation: Allocation,
    sizes: NDArray[np.int64],
    cells_of: CellsOf,
    columns: Sequence[str],
    facts: dict[str, dict[str, dict[str, int]]],
) -> DrawPlan:
    facts_of_both = {**plan.facts, **facts}
    return replace(plan, allocation=allocation, sizes=sizes, cells_of=cells_of, columns=columns, facts=facts_of_both)


def _meet(
    totals: NDArray[np.float64], caps: NDArray[np.int64], margins: Sequence[Margin], target: int, seed: int
) -> Allocation:
    """Return the totals of crossed values that keep every margin."""
    if len(margins) == 1 and len(np.unique(margins[0].of)) == len(margins[0].of):
        [margin], order = margins, margins[0].of
        upper = np.minimum(margin.upper[order], caps)
        return water_fill(upper, target, weights=totals, floors=margin.lower[order], seed=seed)
    if len(totals) > MAX_CROSSED:
        raise RecipeError(
            "the bounded columns meet in too many combinations",
            expected=f"at most {MAX_CROSSED:,}",
            found=f"{len(totals):,}",
            where="sampling.shares",
            remedy="bound fewer columns, or columns with fewer values; without floor and cap leaves do not count",
        )
    shares, missed = rake(totals, caps, margins, target)
    if missed > 1e-4:
        rows, named = conflict(caps, margins, target)
        if named:
            raise _contradiction(
                f"at least {round(rows):,} rows are missing to keep together: "
                + ", ".join(named[:NAMED])
                + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")
            )
        shares = move_within(shares, caps, margins, target)
    return round_to_margins(shares, caps, margins, target, seed)


def _leaf_margin(of: NDArray[np.int64], room: NDArray[np.int64], problem: SamplingProblem) -> Margin:
    """Return floor and cap as bounds on the leaves, as far as each has rows. Raises RecipeError for floors too high."""
    limits, sizes = problem.limits, problem.tree.sizes
    have = np.rint(np.bincount(of, room, len(sizes))).astype(np.int64)
    lower = limits.floors(sizes)
    if lower.sum() > problem.target:
        raise RecipeError(
            "the floors alone exceed the target",
            expected=f"floors that sum to at most {problem.target:,}",
            found=f"{int(lower.sum()):,}",
            where="sampling.floor",
            remedy="lower the floor or raise the target",
        )
    return Margin(of, lower, np.minimum(have, limits.caps(sizes)), lambda leaf: f"cluster {leaf}")


def _group_margins(
    of: NDArray[np.int64], room: NDArray[np.int64], strata: Strata, bounds: Sequence[GroupShare], target: int
) -> list[Margin]:
    """Return the bounds on the values of each group column; raise RecipeError for contradictions inside one."""
    margins = []
    codes = strata.coding.codes(of)
    for group, dictionary, code in zip(strata.names, strata.coding.dictionaries, codes, strict=True):
        values = dictionary.to_pylist()
        upper = np.rint(np.bincount(code, room, len(values))).astype(np.int64)
        lower = np.zeros(len(values), np.int64)
        for bound in bounds:
            if bound.group == group:
                if bound.value not in values:
                    raise RecipeError(
                        f"no row has {group}={bound.value}",
                        expected=f"one of {', '.join(values[:20])}",
                        where="sampling.shares",
                    )
                number = values.index(bound.value)
                lower[number], upper[number] = _rows(bound, target, int(upper[number]))
        if lower.sum() > target:
            raise _contradiction(
                f"the minimum rows of {group} sum to {lower.sum():,}, more than the target of {target:,}"
            )
        if upper.sum() < target:
            raise _contradiction(f"the maximum rows of {group} sum to {upper.sum():,}, less than the target {target:,}")
        margins.append(Margin(code, lower, upper, partial(_name, group, values)))
    return margins


def _rows(bound: GroupShare, target: int, room: int) -> tuple[int, int]:
    """Return the fewest and the most rows of a bounded value; an exact share may be a row off."""
    name = f"{bound.group}={bound.value}"
    low = max(int(np.ceil(bound.at_least * target - 1e-9)), bound.min_rows)
    high = int(np.floor(bound.at_most * target + 1e-9))
    if low == high + 1 and bound.min_rows < low:
        low, high = low - 1, high + 1
    if low > high:
        raise _contradiction(f"{name} is to have at least {low:,} and at most {high:,} of {target:,} rows")
    if low > room:
        raise _contradiction(f"{name} is to have at least {low:,} rows, but the pool can give {room:,}")
    return low, min(high, room)


def _name(group: str, values: Sequence[str], number: int) -> str:
    return f"{group}={values[number]}"


def _totals(
    margins: Sequence[Margin], groups: Sequence[str], strata: Strata, top: Allocation
) -> dict[str, dict[str, int]]:
    """Return the rows of each value of the bounded columns, the largest hundred of each."""
    found = {}
    for group, dictionary, margin in zip(groups, strata.coding.dictionaries, margins, strict=True):
        sums = np.rint(margin.sums(top.quotas.astype(np.float64))).astype(np.int64)
        found[group] = {dictionary[int(at)].as_py(): int(sums[at]) for at in np.argsort(-sums, kind="stable")[:100]}
    return found


def _contradiction(message: str) -> RecipeError:
    return RecipeError(
        f"contradictory group constraints: {message}", where="sampling.shares", remedy="loosen one of these bounds"
    )


def count_crossed(crossing: Crossing, columns: Sequence[str], problem: SamplingProblem) -> Counted:
    """Return the numbers of a crossing that occur, ascending, and the rows of each, in one pass over the pool."""
    count = partial(_count_block, rows=problem.rows, crossing=crossing, columns=tuple(columns))
    found = problem.compute.reduce(count, merge_counted, problem.rows.blocks, work=problem.rows.pool.rows * 40)
    nothing = np.empty(0, np.int64)
    return Counted(nothing, nothing) if found is None else found


def _count_block(block: str, rows: CandidateRows, crossing: Crossing, columns: tuple[str, ...]) -> Counted:
    return count_keys(crossing(rows.table(block, columns), block))
