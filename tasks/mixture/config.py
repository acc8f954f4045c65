"""The mixture section of a recipe: which domains, which rule weighs them, and how the loop with training goes."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.registry import MemberOf
from evenkeel.tasks.mixture.rule import RULES, MixtureRule

GROUP, LEVEL = "group.", re.compile(r"^level-([1-9]\d?)$")
TARGET = "match"
"""The signal with the log ratio of a cluster's share of the target set and of the pool, which the rule match reads."""
BASELINES = ("natural", "uniform", "stratified")
ROUNDING = 1e-9


def _named(rule: object) -> object:
    """Read `rule: bandit` as `rule: {name: bandit}`."""
    return {"name": rule} if isinstance(rule, str) else rule


AnyRule = Annotated[MixtureRule, MemberOf(RULES), BeforeValidator(_named)]


class DomainWeights(BaseModel):
    """How much of a version each domain gives: the part of the section mixture that sampling goes by."""

    model_config = ConfigDict(extra="forbid")

    domains: str = Field(
        description="What the domains are: group.NAME, a group column, or a signal that is one, such as bins; level-N, "
        "the clusters of a level.",
    )
    rule: AnyRule = Field(description="How the domains get their weights.")
    floor: float = Field(0.0, ge=0, lt=1, description="Smallest weight of a domain.")
    cap: float = Field(1.0, gt=0, le=1, description="Largest weight of a domain.")
    clusters: str = Field(
        "",
        description="Hash of the clustering whose clusters the weights are of; set with an approved mixture.",
        exclude_if=lambda clusters: not clusters,
    )

    @field_validator("domains")
    @classmethod
    def _known_kind(cls, domains: str) -> str:
        if (domains.startswith(GROUP) and domains != GROUP) or LEVEL.match(domains):
            return domains
        raise ValueError("expected group.NAME, a group column, or level-N, the clusters of a level")

    @model_validator(mode="after")
    def _limits_leave_room(self) -> Self:
        if self.floor > self.cap:
            raise ValueError(f"contradictory: the floor {self.floor:g} is above the cap {self.cap:g}")
        return self

    def reads(self) -> tuple[str, ...]:
        """Return the columns that it reads, as `group.<name>` and `score.<name>`."""
        group = [self.domains] if self.group else []
        return (*group, *([f"score.{TARGET}"] if self.rule.name == "match" else []))

    def require_room(self, count: int) -> None:
        """Raise RecipeError where no weights of so many domains keep floor and cap."""
        if self.floor * count > 1 + ROUNDING or self.cap * count < 1 - ROUNDING:
            raise RecipeError(
                "no weights of the domains keep floor and cap",
                expected=f"a floor of at most {1 / count:.4g}, a cap of at least that, for {count:,} domains",
                found=f"floor: {self.floor:g}, cap: {self.cap:g}",
                where="mixture",
                remedy="lower the floor, or raise the cap",
            )

    @property
    def group(self) -> str:
        """The group column that the domains are; empty where they are clusters."""
        return self.domains.removeprefix(GROUP) if self.domains.startswith(GROUP) else ""

    @property
    def level(self) -> int:
        """The level whose clusters are the domains; 0 where they are a group column."""
        found = LEVEL.match(self.domains)
        return int(found[1]) if found else 0


class TrialsConfig(BaseModel):
    """How many mixtures are tried, and how large the versions are that are trained on."""

    model_config = ConfigDict(extra="forbid")

    rounds: int = Field(3, ge=1, le=50, description="Rounds of trials; the first has natural, uniform, stratified.")
    per_round: int = Field(8, ge=4, le=64, description="Trials of a round.")
    rows: int | str = Field("1%", description="Rows of a trial, as sampling.target.")


class MixtureConfig(DomainWeights):
    """Which share of a version each domain gets, by a rule that may learn from training."""

    cost: dict[str, float] = Field(
        default_factory=dict, description="What a row of a domain costs, by name; 1 for the others. Read by equitable."
    )
    metric: str = Field("", description="The metric that is reported and compared; empty = the first one reported.")
    goal: Literal["maximise", "minimise"] = Field("maximise", description="Whether more of it is better, or less.")
    trials: TrialsConfig = Field(default_factory=TrialsConfig, description="The versions that are trained on.")

    @model_validator(mode="before")
    @classmethod
    def _options_of_the_rule(cls, document: object) -> object:
        """Let the options of the rule stand beside it: `{rule: fixed, weights: {...}}`."""
        if not isinstance(document, dict) or not isinstance(document.get("rule"), str):
            return document
        rest = {name: value for name, value in document.items() if name in cls.model_fields}
        options = {name: value for name, value in document.items() if name not in cls.model_fields}
        return {**rest, "rule": {"name": document["rule"], **options}}

    @field_validator("cost")
    @classmethod
    def _costs(cls, cost: dict[str, float]) -> dict[str, float]:
        if wrong := [name for name, one in cost.items() if not 0 < one < float("inf")]:
            raise ValueError(f"the cost of {wrong[0]!r} is {cost[wrong[0]]}: expected a number above 0")
        return cost

    def require_known(self, names: Sequence[str]) -> None:
        """Raise RecipeError where costs are of domains that the pool does not have."""
        if unknown := sorted(self.cost.keys() - set(names)):
            raise RecipeError(
                f"a cost is given for {', '.join(map(repr, unknown[:5]))}, which is no domain",
                expected=f"one of {', '.join(names[:20])}",
                where="mixture.cost",
                remedy="correct the name, or remove it",
            )

    def steering(self) -> DomainWeights | None:
        """Return what sampling goes by; None where the rule learns from training first."""
        if self.rule.trains:
            return None
        return DomainWeights(domains=self.domains, rule=self.rule, floor=self.floor, cap=self.cap)
