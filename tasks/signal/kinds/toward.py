"""How much a row belongs to the target set, by one of several published rules.

Sources: by ngrams, DSIR (arXiv 2302.03169); by clusters, importance resampling on the histogram of a level; by a
classifier, BETR (arXiv 2507.12466); by transport, GOT-D (arXiv 2405.02774); by a prefix of clusters, SnP (arXiv
2303.16186).
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from evenkeel.infra.dtypes import Float64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.signal.signal import Fit, Part, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.toward.choice import needs, rule_of
from evenkeel.tasks.signal.toward.options import TowardOptions
from evenkeel.tasks.workload import Workload

if TYPE_CHECKING:
    from evenkeel.tasks.step import Run


class TowardSignal(TowardOptions, Signal):
    """How much a row belongs to the target set: high where it does; the log of a weight by ngrams and clusters."""

    version: ClassVar[int] = 3

    kind: Literal["toward"] = "toward"

    def needs(self) -> frozenset[Part]:
        """Return what the rule reads: texts, vectors, or the clusters."""
        return needs(self)

    def by_backend(self) -> bool:
        """Return whether rows are compared on a device, where there is one."""
        return self.by == "transport" or (self.by == "clusters" and self.assign != "hard")

    def current(self) -> Self:
        """Return it with the fingerprint of the target's files. Raises InputError where there are none."""
        return self if self.target is None else self.model_copy(update={"target": self.target.current()})

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with the paths of the target's files made absolute."""
        return self if self.target is None else self.model_copy(update={"target": self.target.with_paths(absolute)})

    def check(self, source: SignalSource) -> None:
        """Raise RecipeError where texts are compared and the pool has none."""
        if "text" in self.needs() and not source.pool.has_text:
            raise RecipeError(
                f"by: {self.by} compares texts, and the pool has none",
                where=source.where,
                remedy="set source.text, or compare vectors: by: clusters",
            )

    def fit(self, source: SignalSource, folder: str, run: "Run") -> Mapping[str, object]:
        """Read the target and fit the rule."""
        return rule_of(self).fit(source, self._target(), folder, run)

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return how much each row belongs to the target."""
        return rule_of(self).values(source, block, fit)

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool on a reference core."""
        if self.by == "ngrams":
            return 0.3 + 0.03 * work.text_megabytes
        soft = 0.0 if self.assign == "hard" else 5e-8
        per_row = {"classifier": 1e-9, "prefix": 2e-8, "transport": 1e-6, "clusters": soft}.get(self.by, 0.0)
        per_row *= work.dimension
        return 1.0 + work.rows * (2e-7 + per_row)

    def _target(self) -> TargetSet:
        if self.target is None:
            raise RecipeError("the signal toward has no target", where=self.name, remedy="add target_set to the recipe")
        return self.target
