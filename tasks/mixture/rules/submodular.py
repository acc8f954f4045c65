"""Budgets of domains by how well each stands for the others: lazy greedy on a graph cut over their mean vectors.

Source: SMART (arXiv 2403.08370). f(S) = sum_i sum_{j in S} s_ij - penalty sum_{i, j in S} s_ij over cosine similarities
of domain means; greedy takes one domain after another, and its gain g becomes a budget in proportion to 1 + g + g^2/2.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.mixture.rule import MixtureRule

if TYPE_CHECKING:
    from evenkeel.tasks.mixture.evidence import Geometry


def cut_gains(means: Float64Array, penalty: float) -> Float64Array:
    """Return the gain of each domain when greedy takes it, (k,), divided by the number of domains.

    means: (k, d). Similarities are cosines, below 0 as 0. The gain of j after S is the sum of its similarities less
    `penalty` times (2 x its similarity to S + its own), so it never grows while S does.
    """
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    unit = means / np.where(norms > 0, norms, 1.0)
    similarity = np.maximum(unit @ unit.T, 0.0)
    gains, taken = np.zeros(len(means)), np.zeros(len(means))
    left = np.ones(len(means), bool)
    reach = similarity.sum(axis=1)
    for _ in range(len(means)):
        now = np.where(left, reach - penalty * (2 * taken + np.diag(similarity)), -np.inf)
        best = int(now.argmax())
        gains[best], left[best] = now[best], False
        taken += similarity[best]
    return gains / len(means)


class Submodular(MixtureRule):
    """Give more to domains that stand for others and are not stood for yet."""

    trains: ClassVar[bool] = False
    reads: ClassVar[frozenset[str]] = frozenset({"means"})

    name: Literal["submodular"] = "submodular"
    penalty: float = Field(0.4, ge=0, le=1, description="How much similarity to domains taken before counts against.")

    def weigh(self, geometry: "Geometry") -> Float64Array:
        """Return weights in proportion to 1 + g + g^2 / 2, (k,)."""
        gains = cut_gains(geometry.means, self.penalty)
        weights: Float64Array = 1 + gains + gains**2 / 2
        weights /= weights.sum()
        return weights
