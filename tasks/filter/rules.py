"""Which rows of a block leave by a rule. What a rule must know of the whole pool is found once, before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.dtypes import BoolArray, Float64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.expression.evaluate import truths
from evenkeel.tasks.expression.grammar import Quantile
from evenkeel.tasks.expression.values import NUMBER, as_value, has_type
from evenkeel.tasks.filter.config import WHERE, FilterRule
from evenkeel.tasks.signal.groups import Groups, count_groups, numbers_of, read_groups
from evenkeel.tasks.signal.quantiles import Ranks, fit_ranks, ranks_of_block
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.utility import best_bins
from evenkeel.tasks.step import Run

SOFT_SEED = 0x50F7
UTILITY_BINS = 100


class Decision(NamedTuple):
    """Which rows leave, and for which of them, or of those that stay, the rule could not be told: (n,) bool each."""

    leave: BoolArray
    missing: BoolArray


@dataclass(frozen=True)
class PreparedRule:
    """A rule and what it must know of the whole pool; small, sent to workers.

    quantiles: for each that the condition names, the value in every group, (groups,) float64. threshold: of `best`, in
    every group. ranks: the folder of the sketch that a window ranks by.
    """

    rule: FilterRule
    groups: Groups
    quantiles: Mapping[Quantile, Float64Array] = field(default_factory=dict)
    threshold: Float64Array | None = None
    ranks: str = ""

    @classmethod
    def prepare(cls, rule: FilterRule, source: SignalSource, folder: str, run: Run) -> "PreparedRule":
        """Find quantiles, ranks and thresholds. Raises RecipeError where a column is missing or holds no numbers."""
        if rule.window is not None:
            fit_ranks(source, rule.window, rule.by, folder, run)
            return cls(rule, read_groups(folder), ranks=folder)
        groups = count_groups(source, rule.by, folder, run)
        if rule.best is not None:
            ranks = Ranks.fit(source, rule.best, folder, folder, run)
            return cls(rule, groups, threshold=_worth_keeping(rule, ranks))
        wanted = rule.expression.quantiles if rule.expression is not None else ()
        sketches = {
            name: Ranks.fit(source, name, folder, storage.join(folder, f"column-{number}"), run)
            for number, name in enumerate(dict.fromkeys(one.column for one in wanted))
        }
        return cls(rule, groups, {one: sketches[one.column].quantile(one.share) for one in wanted})

    def decide(self, source: SignalSource, block: str, scratch: str) -> Decision:
        """Return which rows of a block leave. Raises InputError for what is undefined in a row, such as 1 / 0."""
        rule = self.rule
        if rule.window is not None:
            return self._outside_window(ranks_of_block(source, rule.window, self.ranks, scratch, block))
        table = source.columns(block, rule.columns)
        rows = source.pool.table(block, ["row_id", "identity"])
        if rule.best is not None:
            values = numbers_of(table[rule.best], rule.best, source.where)
            assert self.threshold is not None
            limits = self.threshold[self.groups.codes(table)] if self.groups.column else self.threshold[0]
            return self._settled(values < limits, np.isnan(values))
        assert rule.expression is not None
        holds = truths(rule.expression, table.append_column("row_id", rows["row_id"]), self._of_rows(table))
        known = np.asarray(holds.is_valid())
        truth = np.asarray(pc.fill_null(holds, False))
        leave = (truth if rule.drop is not None else ~truth) & known
        return self._settled(leave | self._by_chance(table, rows, leave), ~known)

    def _settled(self, leave: BoolArray, missing: BoolArray) -> Decision:
        return Decision(leave & ~missing | missing if self.rule.missing == "drop" else leave & ~missing, missing)

    def _outside_window(self, ranks: Float64Array) -> Decision:
        bins = self.rule.bins
        low, high = self.rule.keep if isinstance(self.rule.keep, tuple) else (0.0, 1.0)
        bin_of = np.minimum(np.floor(ranks * bins), bins - 1)
        outside = (bin_of < np.round(low * bins)) | (bin_of >= np.round(high * bins))
        return self._settled(outside, np.isnan(ranks))

    def _of_rows(self, table: pa.Table) -> dict[Quantile, pa.Array]:
        codes = self.groups.codes(table)
        return {one: pa.array(values[codes], from_pandas=True) for one, values in self.quantiles.items()}

    def _by_chance(self, table: pa.Table, rows: pa.Table, leave: BoolArray) -> BoolArray:
        """Return which of the rows that the rule keeps leave by chance, the same in every run."""
        if (soft := self.rule.soft) is None:
            return np.zeros(len(leave), np.bool_)
        column = as_value(table[self.rule.soft_column])
        values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
        beyond = values > soft.above if soft.above is not None else values < float(soft.below or 0)
        unlucky: BoolArray = uniform(SOFT_SEED, rows["identity"].to_numpy()) >= soft.keep
        return beyond & unlucky & ~leave


def check_types(rule: FilterRule, table: pa.Table) -> None:
    """Raise RecipeError where the types of its columns, in a table without rows, do not fit a rule."""
    where = f"{WHERE}, {rule.text}"
    for name in (rule.window, rule.best):
        if name is not None:
            numbers_of(table[name], name, where)
    if rule.expression is not None:
        truths(rule.expression, table, dict.fromkeys(rule.expression.quantiles, pa.scalar(0.0)))
    if rule.soft is not None:
        _require_numbers(rule, as_value(table[rule.soft_column]))


def _require_numbers(rule: FilterRule, column: pa.Array) -> None:
    if not has_type(column, NUMBER):
        raise RecipeError(
            f"soft has a threshold for the column {rule.soft_column!r}, which holds no numbers",
            expected="a score, a signal or a column of numbers",
            found=str(column.type),
            where=f"{WHERE}, {rule.text}",
            remedy="name a column of numbers: of",
        )


def _worth_keeping(rule: FilterRule, ranks: Ranks) -> Float64Array:
    """Return the score in every group from which rows are worth keeping; -inf where there is no score, or all are."""
    shares = 1 - (np.arange(UTILITY_BINS) + 0.5) / UTILITY_BINS
    utility = np.stack([ranks.quantile(share) for share in shares])
    cuts = np.stack([ranks.quantile(1 - bins / UTILITY_BINS) for bins in range(1, UTILITY_BINS)])
    worth = np.full(len(ranks.rows()), -np.inf)
    for group, rows in enumerate(ranks.rows().tolist()):
        if rows:
            kept = best_bins(utility[:, group], np.full(UTILITY_BINS, rows), rule.epochs or 1.0, rule.half_life)
            worth[group] = cuts[kept - 1, group] if kept < UTILITY_BINS else -np.inf
    return worth


def folder_of(out: str, number: int) -> str:
    """Return the folder for what a rule must know of the whole pool."""
    return storage.join(out, "rules", f"{number:03d}")
