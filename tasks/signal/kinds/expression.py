"""A signal computed from other columns by an expression."""

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa
from pydantic import Field, model_validator

from evenkeel.tasks.expression import evaluate
from evenkeel.tasks.expression.grammar import Expression, Quantile, parse
from evenkeel.tasks.signal.signal import Fit, Numbers, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run


class ExpressionSignal(Signal):
    """A number made of other columns: `4 * pass_rate * (1 - pass_rate)`, the variance of a pass rate."""

    kind: Literal["expression"] = "expression"
    of: str = Field(min_length=1, description="The expression; see docs/SIGNALS.md for its grammar.")
    map: str | None = Field(None, description="An expression of `s`, which is the column that `of` names.")

    @model_validator(mode="after")
    def _readable(self) -> "ExpressionSignal":
        _ = self.expression
        return self

    @property
    def expression(self) -> Expression:
        """The checked expression."""
        where = f"signals, {self.name}"
        if self.map is None:
            return parse(self.of, where)
        return parse(self.map, where)

    def columns(self) -> tuple[str, ...]:
        """Return the columns that the expression names."""
        return tuple(self._read_as(name) for name in self.expression.columns)

    def _read_as(self, name: str) -> str:
        return self.of if self.map is not None and name == "s" else name

    def check(self, source: SignalSource) -> None:
        """Raise RecipeError where the types of the columns do not fit, before any row is read."""
        for block in source.blocks[:1]:
            self.check_types(source.numbered(block, self.columns()).slice(0, 0))

    def check_types(self, table: pa.Table) -> None:
        """Raise RecipeError where the types of its columns, in a table without rows, do not fit the expression."""
        quantiles = dict.fromkeys(self.expression.quantiles, pa.scalar(0.0))
        evaluate.numbers(self.expression, self._renamed(table), quantiles)

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Find the quantiles that the expression names, over all rows of the pool."""
        wanted = self.expression.quantiles
        if not wanted:
            return {}
        from evenkeel.tasks.signal.groups import count_groups
        from evenkeel.tasks.signal.quantiles import Ranks

        count_groups(source, "", folder, run)
        found = []
        for number, one in enumerate(wanted):
            ranks = Ranks.fit(source, self._read_as(one.column), folder, f"{folder}/column-{number}", run)
            found.append([one.column, one.share, float(ranks.quantile(one.share)[0])])
        return {"quantiles_named": found}

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Numbers:
        """Return the value of the expression for every row."""
        named = fit.facts.get("quantiles_named", [])
        assert isinstance(named, list)
        quantiles = {Quantile(column, share): pa.scalar(value) for column, share, value in named}
        table = self._table(source, block)
        found: Numbers = evaluate.numbers(self.expression, table, quantiles).to_numpy(zero_copy_only=False)
        return found

    def _table(self, source: SignalSource, block: str) -> pa.Table:
        return self._renamed(source.numbered(block, self.columns()))

    def _renamed(self, table: pa.Table) -> pa.Table:
        if self.map is None:
            return table
        return table.rename_columns(["s" if name == self.of else name for name in table.column_names])
