"""A signal computed from other columns by an expression."""

from typing import Literal

import pyarrow as pa
from pydantic import Field, model_validator

from evenkeel.tasks.expression import evaluate
from evenkeel.tasks.expression.grammar import Expression, parse
from evenkeel.tasks.signal.signal import Fit, Numbers, Signal
from evenkeel.tasks.signal.source import SignalSource


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
        return tuple(self.of if self.map is not None and name == "s" else name for name in self.expression.columns)

    def check(self, source: SignalSource) -> None:
        """Raise RecipeError where the types of the columns do not fit, before any row is read."""
        for block in source.blocks[:1]:
            evaluate.numbers(self.expression, self._table(source, block).slice(0, 0))

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Numbers:
        """Return the value of the expression for every row."""
        found: Numbers = evaluate.numbers(self.expression, self._table(source, block)).to_numpy(zero_copy_only=False)
        return found

    def _table(self, source: SignalSource, block: str) -> pa.Table:
        table = source.columns(block, self.columns())
        if self.map is not None:
            table = table.rename_columns(["s" if name == self.of else name for name in table.column_names])
        return table.append_column("row_id", source.pool.table(block, ["row_id"])["row_id"])
