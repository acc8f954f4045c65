"""What a strategy is, and all the strategies there are."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from evenkeel.expectations.goals import Goal
from evenkeel.infra.registry import Registry
from evenkeel.tasks.sample.balanced.config import KernelDensityConfig, PartitionConfig
from evenkeel.tasks.sample.tags.config import TagCountsConfig

if TYPE_CHECKING:
    from evenkeel.tasks.dedup.target_set import TargetSet
    from evenkeel.tasks.sample.draw_plan import DrawPlan
    from evenkeel.tasks.sample.problem import SamplingProblem
    from evenkeel.tasks.signal.signal import Signal

GroupNames = Annotated[
    list[str], Field(min_length=1, description="Group columns; each combination of values is a stratum.")
]

FLOOR, CAP, ORDER = "floor", "cap", "order"
EVERY_LIMIT = frozenset({FLOOR, CAP, ORDER})


class Strategy(BaseModel):
    """A rule for how many rows every cluster or group gives. Its options are the fields, the rule is `plan`.

    obeys: which of the recipe's `floor`, `cap` and `order` the rule keeps; a recipe that sets another is refused. Floor
    and cap are of leaf clusters, whatever the cells of the rule are.
    goal: what the rule is after, which decides what its versions are held to where the recipe names no other gates.
    """

    model_config = ConfigDict(extra="forbid")

    obeys: ClassVar[frozenset[str]] = EVERY_LIMIT
    goal: ClassVar[Goal] = "plan"

    name: str

    def plan(self, problem: "SamplingProblem") -> "DrawPlan":
        """Return how many rows each cell gives, and where the rule has them the chances of the rows in it.

        Raises RecipeError for what the rule cannot use, such as a missing column.
        """
        raise NotImplementedError

    def obeyed(self) -> frozenset[str]:
        """Return which of `floor`, `cap` and `order` the rule keeps with these options."""
        return self.obeys

    def reads(self) -> tuple[str, ...]:
        """Return the columns that the rule reads, as `group.<name>`, `score.<name>` (signals too) or `tags.<name>`."""
        return ()

    def needs_scores(self) -> tuple[str, ...]:
        """Return the names of the scores and signals that it reads of which no row may be without a value."""
        return ()

    def partition_config(self) -> PartitionConfig | None:
        """Return how the pool is partitioned for the rule; None where it does not read `problem.partitions`."""
        return None

    def density_config(self) -> KernelDensityConfig | None:
        """Return how kernel density is estimated for the rule; None where it does not read `problem.densities`."""
        return None

    def tag_counts(self) -> TagCountsConfig | None:
        """Return which tags are counted for the rule; None where it does not read `problem.tag_counts`."""
        return None

    def signals(self) -> "list[Signal]":
        """Return the signals that the rule brings itself, besides those of the recipe."""
        return []

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with each path of a file that it names made absolute."""
        return self

    def with_target(self, target: "TargetSet | None") -> Self:
        """Return it with the recipe's target set, if it reads one. Raises ValueError where there is none."""
        return self

    def with_groups(self, names: Collection[str]) -> Self:
        """Return it with group columns of the recipe that it goes by where there are any of these names."""
        return self

    def annotations(self) -> tuple[str, ...]:
        """Return the kinds of annotations that tell of the draw itself, and that a version of this rule has."""
        return ()

    def with_amount(self, amount: float | None) -> Self:
        """Return it with how many rows will be taken, or their share below 1, if it goes by that. None: not known."""
        return self

    def max_copies(self) -> int:
        """Return how often the rule itself may repeat a row."""
        return 1

    def pinned(self, facts: Mapping[str, object]) -> Self:
        """Return the strategy that makes the choice in a plan's facts again, without measuring."""
        return self


STRATEGIES: Registry[Strategy] = Registry(
    "strategy", Strategy, tag="name", folder="evenkeel.tasks.sample.strategies", group="evenkeel.strategies"
)
