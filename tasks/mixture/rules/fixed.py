"""Weights that a person gives."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.mixture.rule import MixtureRule

if TYPE_CHECKING:
    from evenkeel.infra.dtypes import Float64Array
    from evenkeel.tasks.mixture.evidence import Geometry


class Fixed(MixtureRule):
    """Give every domain the weight that the recipe names."""

    trains: ClassVar[bool] = False

    name: Literal["fixed"] = "fixed"
    weights: dict[str, float] = Field(
        min_length=1, description="Weight of each domain by name, >= 0; they need not sum to 1. Unnamed ones get none."
    )

    @field_validator("weights")
    @classmethod
    def _usable(cls, weights: dict[str, float]) -> dict[str, float]:
        if wrong := [name for name, weight in weights.items() if not 0 <= weight < float("inf")]:
            raise ValueError(f"the weight of {wrong[0]!r} is {weights[wrong[0]]}: expected a finite number >= 0")
        if not any(weights.values()):
            raise ValueError("all weights are zero")
        return weights

    def weigh(self, geometry: "Geometry") -> "Float64Array":
        """Return the weights in the order of the domains, (k,). Raises RecipeError for a domain that is not there."""
        import numpy as np

        if unknown := sorted(self.weights.keys() - set(geometry.names)):
            raise RecipeError(
                f"the mixture weighs domains that the pool does not have: {', '.join(unknown[:5])}",
                expected=f"of {', '.join(geometry.names[:20])}",
                where="mixture.weights",
                remedy="correct the names, or leave them out",
            )
        return np.array([self.weights.get(name, 0.0) for name in geometry.names])
