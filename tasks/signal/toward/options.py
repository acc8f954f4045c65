"""The options of signals and strategies that go by a target set."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evenkeel.tasks.dedup.target_set import TargetSet

By = Literal["ngrams", "clusters", "classifier", "transport", "prefix"]


class TowardOptions(BaseModel):
    """By which rule rows are compared with the target set, and the options of the rules."""

    model_config = ConfigDict(extra="forbid")

    by: By = Field(
        "ngrams",
        description="ngrams: log ratio of n-grams in target and pool (DSIR); clusters: of shares of a cluster; "
        "classifier: a linear model tells target from pool; transport: what lowers the optimal transport to the target "
        "(GOT-D); prefix: the nearest clusters (SnP).",
    )
    per_token: bool = Field(
        False, description="ngrams: the mean over a text's n-grams; their sum, as published, favours long texts."
    )
    buckets: int = Field(10_000, ge=16, le=1 << 24, description="ngrams: hash buckets of words and pairs of words.")
    floor_probability: float = Field(
        1e-4,
        gt=0,
        le=1,
        description="ngrams: added to the probability of a bucket, in target and pool; published: 1e-8.",
    )
    level: int = Field(1, ge=1, description="clusters, prefix: level whose clusters are compared; 1 = the leaves.")
    assign: Literal["soft", "hard"] | None = Field(
        None,
        description="clusters: soft = rows are shared out over the eight clusters nearest to them, so that a small "
        "target speaks for their neighbours too; hard = to their own alone. Empty = soft, and hard for draw: gumbel.",
    )
    prior: float = Field(
        1.0,
        gt=0,
        description="clusters: rows spread like the pool that are added to the target's: none weighs zero.",
    )
    teacher: Literal["membership", "similarity"] = Field(
        "membership",
        description="classifier: learns target against pool, or the rank by similarity to the target (BETR).",
    )
    neighbours: int = Field(5, ge=1, le=1000, description="classifier, by similarity: nearest rows of the target.")
    penalty: float = Field(
        100.0, gt=0, description="classifier: of the squared coefficients, as so many rows; more for fewer target rows."
    )
    epsilon: float = Field(0.05, ge=0.001, le=10, description="transport: entropy term, in units of the mean cost.")
    take: float | None = Field(
        None,
        gt=0,
        description="transport: rows that will be taken, or their share of the pool where below 1; of a strategy it is "
        "sampling.target. Empty = the gradient at the pool, as published.",
    )
    unbalanced: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="transport: what weight that is not moved costs, in units of the mean cost, so that outliers may "
        "be left; empty = all is moved.",
    )
    components: int = Field(16, ge=1, le=128, description="prefix: principal axes that distances are taken on.")
    target: TargetSet | None = Field(None, description="Another target than the recipe's target_set; leave it out.")

    @model_validator(mode="after")
    def _seen_is_read(self) -> Self:
        if self.target is not None:
            self._requires_transport(self.target)
        return self

    def _requires_transport(self, target: TargetSet) -> None:
        if target.seen is not None and self.by != "transport":
            raise ValueError(f"target_set.seen is read by: transport alone, and the rule is by: {self.by}")

    def with_target(self, target: TargetSet | None) -> Self:
        """Return it with the recipe's target set where it names none. Raises ValueError where there is none at all."""
        if self.target is not None:
            return self
        if target is None:
            raise ValueError("toward needs target_set: the rows that the version should resemble")
        self._requires_transport(target)
        return self.model_copy(update={"target": target})
