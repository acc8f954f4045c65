"""The sampling section of a recipe: how many rows to keep, and by which strategy."""

import re
from typing import Annotated, Literal, NamedTuple

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from evenkeel.expectations.goals import Goal
from evenkeel.infra.registry import MemberOf
from evenkeel.tasks.mixture.config import DomainWeights
from evenkeel.tasks.sample.strategy import CAP, FLOOR, ORDER, STRATEGIES, Strategy

ROWS = re.compile(r"^([\d_,]+)(?: rows)?$")
SHARE = re.compile(r"^(\d+(?:\.\d+)?) ?%$")
TOKENS = re.compile(r"^([\d_,]+(?:\.\d+)?) ?([kMBT]?) ?tokens$")
AMOUNT = {
    "anyOf": [
        {
            "title": "rows, share or tokens",
            "type": "string",
            "pattern": r"^ *([0-9][0-9_,]*( rows)?|[0-9]+(\.[0-9]+)? ?%|[0-9][0-9_,]*(\.[0-9]+)? ?[kMBT]? ?tokens) *$",
            "examples": ["50000", "10%", "2B tokens"],
        },
        {"title": "number of rows", "type": "integer", "minimum": 1},
    ]
}
SCALES = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


class Budget(NamedTuple):
    """A target resolved against a pool: an amount of rows or of tokens."""

    amount: int
    unit: Literal["rows", "tokens"]


class GroupShare(BaseModel):
    """Bounds on the share or number of selected rows that carry one value of a group column."""

    model_config = ConfigDict(extra="forbid")

    group: str = Field(description="Name of a group column (source.groups).", min_length=1)
    value: str = Field(description="The value whose rows are bounded.")
    at_least: float = Field(0.0, ge=0, le=1, description="Smallest share of the selected rows.")
    at_most: float = Field(1.0, ge=0, le=1, description="Largest share of the selected rows.")
    min_rows: int = Field(
        0,
        ge=0,
        validation_alias=AliasChoices("min_rows", "rows_at_least"),
        description="Smallest number of selected rows: the floor of a protected group.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> "GroupShare":
        if self.at_least > self.at_most:
            raise ValueError(
                f"contradictory bounds for {self.group}={self.value}: at_least {self.at_least} > at_most {self.at_most}"
            )
        return self


class Rehydration(BaseModel):
    """Repeat the representative of a duplicate group by the size of the group (FineWeb2)."""

    model_config = ConfigDict(extra="forbid", title="rehydrate")

    table: dict[int, int] = Field(
        default_factory=lambda: {1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1},
        description="copies by group size; a group takes the entry of the largest size not above its own. Default: "
        "FineWeb2's",
    )
    removed: Literal["auto"] | dict[int, float] = Field(
        default_factory=dict,
        description="share of rows that quality filters removed, by group size; the table is then made from it. auto = "
        "as the filters of the recipe remove them",
    )
    max_copies: int = Field(
        5,
        ge=2,
        le=100,
        validation_alias=AliasChoices("max_copies", "most"),
        description="with removed: copies of the group size that filters removed least of",
    )

    @field_validator("table")
    @classmethod
    def _counts(cls, table: dict[int, int]) -> dict[int, int]:
        if wrong := [f"{size}: {copies}" for size, copies in table.items() if size < 1 or not 1 <= copies <= 1000]:
            raise ValueError(f"expected sizes of at least 1 and 1 to 1000 copies, found {wrong[0]}")
        return {1: 1, **table}

    @field_validator("removed")
    @classmethod
    def _rates(cls, removed: Literal["auto"] | dict[int, float]) -> Literal["auto"] | dict[int, float]:
        if isinstance(removed, str):
            return removed
        if wrong := [f"{size}: {share}" for size, share in removed.items() if size < 1 or not 0 <= share <= 1]:
            raise ValueError(f"expected sizes of at least 1 and shares from 0 to 1, found {wrong[0]}")
        return removed


def _automatic(rehydrate: object) -> object:
    """Read `rehydrate: auto` as `rehydrate: {removed: auto}`."""
    return {"removed": "auto"} if rehydrate == "auto" else rehydrate


def named_strategy(strategy: object) -> object:
    """Read `strategy: balanced` as `strategy: {name: balanced}`."""
    return {"name": strategy} if isinstance(strategy, str) else strategy


class SamplingConfig(BaseModel):
    """The sampling section of a recipe."""

    model_config = ConfigDict(extra="forbid")

    strategy: Annotated[
        Strategy,
        MemberOf(STRATEGIES),
        BeforeValidator(named_strategy),
        Field(description="How the target is spread over clusters or groups."),
    ] = Field(default_factory=lambda: STRATEGIES.get("balanced").model_validate({}))
    target: Annotated[int | str, WithJsonSchema(AMOUNT)] = Field(
        description='How much to keep: rows (50000), a share of the pool ("10%") or a token budget ("2B tokens").'
    )
    seed: int = Field(0, ge=0, lt=2**63, description="The same seed keeps the same rows where the data allow it.")
    order: Literal["hash", "closest", "furthest", "score", "diverse"] = Field(
        "hash", description="Which rows of a cluster come first: hash is random, stable from version to version."
    )
    score: str = Field("", description="Score column for order: score, highest first.")
    max_repeats: int = Field(1, ge=1, le=1000, description="Copies of a row at most, where a cluster has too few rows.")
    rehydrate: Annotated[Rehydration | None, BeforeValidator(_automatic)] = Field(
        None,
        description="copies by the size of a row's duplicate group; auto = by what filters remove of each size, null = "
        "off. The target counts copies.",
    )
    floor: int = Field(0, ge=0, description="Rows that every cluster keeps, as far as it has them.")
    cap: int | None = Field(None, ge=1, description="Rows that no cluster may exceed.")
    shares: list[GroupShare] = Field(
        default_factory=list, description="Bounds on the share of group values, of one column or of several."
    )
    mixture: DomainWeights | None = Field(
        None,
        description="What the recipe's section mixture came to; leave it out.",
        exclude_if=lambda mixture: mixture is None,
    )

    @field_validator("target", mode="before")
    @classmethod
    def _readable(cls, target: object) -> int | str:
        if isinstance(target, float) and target.is_integer():
            target = int(target)
        if isinstance(target, str) and ROWS.match(target.strip()):
            target = int(re.sub("[_,]| rows", "", target.strip()))
        if isinstance(target, bool) or not isinstance(target, int | str):
            raise ValueError('expected rows (50000), a share ("10%") or tokens ("2B tokens")')
        if isinstance(target, int):
            if target < 1:
                raise ValueError("the target must be at least 1 row")
            return target
        text = target.strip()
        if share := SHARE.match(text):
            if not 0 < float(share[1]) <= 100_000:
                raise ValueError("the share must be above 0%")
        elif tokens := TOKENS.match(text):
            if float(re.sub("[_,]", "", tokens[1])) <= 0:
                raise ValueError("the target must be at least 1 token")
        else:
            raise ValueError('expected rows (50000), a share ("10%") or tokens ("2B tokens")')
        return text

    @model_validator(mode="after")
    def _consistent(self) -> "SamplingConfig":
        if self.order == "score" and not self.score:
            raise ValueError("order: score needs score: the name of a score column")
        if self.cap is not None and self.cap < self.floor:
            raise ValueError(f"contradictory: cap {self.cap} is below floor {self.floor}")
        asked = {FLOOR: self.floor > 0, CAP: self.cap is not None, ORDER: self.order != "hash"}
        obeyed = self.strategy.obeyed()
        if refused := [name for name, wanted in asked.items() if wanted and name not in obeyed]:
            raise ValueError(
                f"the strategy {self.strategy.name} does not keep {' and '.join(refused)}"
                + (f", only {' and '.join(sorted(obeyed))}" if obeyed else "")
                + f"; remove sampling.{refused[0]} or choose another strategy, such as balanced or flat"
            )
        if self.shares and self.mixture is not None:
            raise ValueError("shares and a mixture both say how much each group gets: remove one of them")
        for group in dict.fromkeys(bound.group for bound in self.shares):
            bounds = [bound for bound in self.shares if bound.group == group]
            values = [bound.value for bound in bounds]
            if twice := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"contradictory: {group}={twice[0]} is bounded twice")
            if (total := sum(bound.at_least for bound in bounds)) > 1 + 1e-9:
                raise ValueError(f"contradictory: the smallest shares of {group} sum to {total:g}, more than 1")
        return self

    def reads(self) -> tuple[str, ...]:
        """Return the columns that the section reads, as `group.<name>`, `score.<name>` or `tags.<name>`."""
        score = [f"score.{self.score}"] if self.order == "score" else []
        domains = () if self.mixture is None else self.mixture.reads()
        return (
            *self.strategy.reads(),
            *score,
            *domains,
            *dict.fromkeys(f"group.{bound.group}" for bound in self.shares),
        )

    def needs_scores(self) -> tuple[str, ...]:
        """Return the names of the scores and signals that every row must have a value of."""
        return (*self.strategy.needs_scores(), *([self.score] if self.order == "score" else []))

    @property
    def goal(self) -> Goal:
        """What a version is after: what its strategy is, or the shares of its domains."""
        return self.strategy.goal if self.mixture is None else "plan"

    @property
    def rehydrates_by_filters(self) -> bool:
        """Whether copies go by how many rows of each group size filters remove."""
        return self.rehydrate is not None and self.rehydrate.removed == "auto"

    @property
    def amount(self) -> float | None:
        """How many rows are kept, or the share of the pool where below 1; None for a budget of tokens."""
        if isinstance(self.target, int):
            return float(self.target)
        share = SHARE.match(self.target)
        return None if share is None else min(float(share[1]) / 100, 1 - 1e-9)

    def budget(self, rows: int) -> Budget:
        """Return the target as rows or tokens, for a pool of so many rows."""
        if isinstance(self.target, int):
            return Budget(self.target, "rows")
        if share := SHARE.match(self.target):
            return Budget(max(1, round(float(share[1]) / 100 * rows)), "rows")
        tokens = TOKENS.match(self.target)
        assert tokens is not None
        return Budget(round(float(re.sub("[_,]", "", tokens[1])) * SCALES[tokens[2]]), "tokens")
