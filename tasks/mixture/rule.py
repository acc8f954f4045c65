"""What a rule of mixtures is, and all the rules there are."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from evenkeel.infra.registry import Registry

if TYPE_CHECKING:
    from evenkeel.infra.dtypes import Float64Array
    from evenkeel.tasks.mixture.evidence import Evidence, Geometry


class MixtureRule(BaseModel):
    """A rule for the weights of domains. Its options are the fields.

    trains: whether it learns from training. One that does proposes mixtures to try, one that does not weighs the
    domains at once. reads: what of the geometry it weighs by.
    """

    model_config = ConfigDict(extra="forbid")

    trains: ClassVar[bool] = True
    reads: ClassVar[frozenset[str]] = frozenset()

    name: str

    def weigh(self, geometry: "Geometry") -> "Float64Array":
        """Return the weights of the domains, (k,) float64, of a rule that needs no training."""
        raise NotImplementedError

    def try_first(self, evidence: "Evidence", count: int) -> "Float64Array":
        """Return mixtures to try before anything is known, (count, k): scattered around the pool's and equal ones."""
        from evenkeel.tasks.mixture.simplex import around

        return around([evidence.uniform, evidence.natural], count, evidence.rng(0), strength=2.0)

    def propose(self, evidence: "Evidence", count: int) -> "Float64Array":
        """Return mixtures to try next, (count, k) float64, the one that the rule believes in first."""
        raise NotImplementedError

    def reward_metric(self) -> str:
        """Return the metric by domain that the rule is rewarded by; empty = the metric of the mixture."""
        return ""


RULES: Registry[MixtureRule] = Registry(
    "mixture rule", MixtureRule, tag="name", folder="evenkeel.tasks.mixture.rules", group="evenkeel.mixture_rules"
)
