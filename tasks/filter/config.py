"""What a recipe may say about rows that leave."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.expression.grammar import Expression, parse

WHERE = "filters"
READ_BY = {
    "soft": "it softens a condition of keep or drop",
    "by": "it is the group of the quantiles that a condition names, or of the ranks of window and best",
    "bins": "it belongs to window",
    "half_life": "it belongs to best",
}


class Soft(BaseModel):
    """Rows beyond a softer threshold stay by chance, the same rows in every run."""

    model_config = ConfigDict(extra="forbid", title="soft")

    above: float | None = Field(None, description="Rows above this that the rule would keep are kept by chance.")
    below: float | None = Field(None, description="Rows below this that the rule would keep are kept by chance.")
    keep: float = Field(ge=0, le=1, description="The chance by which such a row is kept.")
    of: str = Field("", description="The column that the threshold is for; empty = the only one that the rule names.")

    @model_validator(mode="after")
    def _one_side(self) -> "Soft":
        if (self.above is None) == (self.below is None):
            raise ValueError("give either above or below")
        return self


class FilterRule(BaseModel):
    """One rule by which rows leave: exactly one of keep, drop, window and best."""

    model_config = ConfigDict(extra="forbid", title="filter")

    keep: str | tuple[float, float] | None = Field(
        None,
        description="A condition: rows for which it does not hold leave. With window: the range of ranks that stays, "
        "as [0.2, 0.7].",
    )
    drop: str | None = Field(None, description="A condition: rows for which it holds leave.")
    window: str | None = Field(
        None, description="Column whose rows outside the range of ranks leave: the easiest and the hardest."
    )
    best: str | None = Field(
        None, description="Column of a score of at least 0; the share of the best that is worth keeping stays."
    )
    soft: Soft | None = Field(None, description="With keep or drop: a softer threshold, by chance. null = off.")
    by: str = Field("", description="Group column: quantiles and ranks are those of a row's own group.")
    bins: int = Field(20, ge=1, le=10_000, description="With window: bins of ranks, which stay or leave whole.")
    epochs: float | None = Field(
        None, gt=0, description="With best: how long is trained, in passes over all rows; longer keeps more."
    )
    half_life: float = Field(5.0, gt=0, description="With best: repeats after which a row teaches half as much.")
    missing: Literal["keep", "drop"] = Field(
        "keep", description="What becomes of rows for which the rule cannot be told, as a value is missing."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "FilterRule":
        kinds = [name for name in ("drop", "window", "best") if getattr(self, name) is not None]
        if isinstance(self.keep, str) or not (self.keep is None or self.window is not None):
            kinds.append("keep")
        if len(kinds) != 1:
            raise ValueError(
                f"a rule is exactly one of keep, drop, window and best, found {' and '.join(kinds) or 'none'}"
            )
        if self.window is not None:
            low, high = self.keep if isinstance(self.keep, tuple) else (1.0, 0.0)
            if not 0 <= low < high <= 1:
                raise ValueError("window needs keep, the range of ranks that stays, as in keep: [0.2, 0.7]")
            if round(low * self.bins) == round(high * self.bins):
                raise ValueError(f"keep: [{low:g}, {high:g}] holds none of {self.bins} bins; widen it, or raise bins")
        elif isinstance(self.keep, tuple):
            raise ValueError("keep is a condition, unless it stands with window")
        if (self.best is None) != (self.epochs is None):
            raise ValueError("best needs epochs, how long is trained, and only best has it")
        try:
            expression, _ = self.expression, self.soft_column
        except RecipeError as error:
            raise ValueError("; ".join(part for part in (error.message, error.found, error.remedy) if part)) from error
        if expression is not None and not expression.columns:
            raise ValueError(f"the rule {self.text!r} names no column, so all rows would leave, or none")
        self._refuse_unread()
        return self

    def _refuse_unread(self) -> None:
        """Raise ValueError for an option that is given and that a rule of this kind does not read."""
        condition = self.expression is not None
        read = {
            "soft": condition,
            "by": not condition or bool(self.expression and self.expression.quantiles),
            "bins": self.window is not None,
            "half_life": self.best is not None,
        }
        for name, used in read.items():
            if getattr(self, name) != type(self).model_fields[name].default and not used:
                raise ValueError(f"the rule {self.text!r} does not read {name!r}: {READ_BY[name]}")

    @property
    def expression(self) -> Expression | None:
        """The condition of keep or drop, checked."""
        text = self.drop if self.drop is not None else self.keep
        return parse(text, f"{WHERE}, {self.text}") if isinstance(text, str) else None

    @property
    def soft_column(self) -> str:
        """The column that the softer threshold is for. Raises RecipeError where it is not clear."""
        if self.soft is None or self.soft.of:
            return "" if self.soft is None else self.soft.of
        columns = self.expression.columns if self.expression is not None else ()
        if len(columns) != 1:
            raise RecipeError(
                "soft does not say which column its threshold is for",
                found=", ".join(columns) or "a rule without a condition",
                remedy="name it: of",
            )
        return columns[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that the rule reads."""
        named = [one for one in (self.window, self.best, self.by, self.soft_column) if one]
        return tuple(dict.fromkeys([*(self.expression.columns if self.expression is not None else ()), *named]))

    @property
    def text(self) -> str:
        """The rule as it is shown: the reason of a row that leaves."""
        if self.window is not None:
            rule = f"window {self.window} {list(self.keep or ())}"
        elif self.best is not None:
            rule = f"best {self.best}, {self.epochs:g} epochs"
        else:
            rule = f"drop {self.drop}" if self.drop is not None else f"keep {self.keep}"
        if self.soft is not None:
            side = f"above {self.soft.above:g}" if self.soft.above is not None else f"below {self.soft.below:g}"
            rule += f", {self.soft.keep:g} of those {side}"
        return rule + (f", by {self.by}" if self.by else "")


class FilterConfig(BaseModel):
    """What the filter step is called with: rules in the order of the recipe; a row leaves by the first that holds."""

    model_config = ConfigDict(extra="forbid")

    rules: list[FilterRule]
    sizes: bool = Field(False, description="Whether removal rates by the size of the duplicate group are counted.")
