"""Exponentiated gradient: domains that help the others, or that are rewarded, gain weight by a factor.

Sources: Aioli (arXiv 2411.05735): A_ij says how domain j helps domain i, learned by perturbing one domain at a time,
and w_j <- w_j exp(rate x sum_i A_ij) / Z. With a reward by domain in its place it is tDRO (excess loss, arXiv
2408.10613), Inf-DDS (influence), the rounds of D&C (mean reward, arXiv 2409.11378), VisATB (contribution and
difficulty) and what any agent decides (Data Mixing Agent).
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.mixture.rule import MixtureRule

if TYPE_CHECKING:
    from evenkeel.tasks.mixture.evidence import Evidence

RIDGE = 1e-6


def interactions(weights: Float64Array, values: Float64Array) -> Float64Array:
    """Return A (m, k): how much value i grows with the weight of domain j, each row less its mean.

    weights: (t, k) mixtures that were tried, values: (t, m). Least squares; since weights sum to 1, only differences
    between the domains of a row are known.
    """
    middle = weights - weights.mean(axis=0)
    gram = middle.T @ middle
    gram += RIDGE * max(float(np.trace(gram)), 1e-12) * np.eye(len(gram))
    slopes = np.linalg.solve(gram, middle.T @ (values - values.mean(axis=0))).T
    found: Float64Array = slopes - slopes.mean(axis=1, keepdims=True)
    return found


def exponentiate(weights: Float64Array, rewards: Float64Array, rate: float) -> Float64Array:
    """Return w_j exp(rate x r_j) / Z with rewards scaled to at most 1 in size, (k,)."""
    largest = float(np.abs(rewards).max(initial=0.0))
    scaled = weights * np.exp(rate * rewards / (largest or 1.0))
    found: Float64Array = scaled / scaled.sum()
    return found


class Exponentiated(MixtureRule):
    """Move the last mixture by a factor for each domain that grows with what the domain does for all."""

    name: Literal["exponentiated"] = "exponentiated"
    rate: float = Field(0.5, gt=0, le=10, description="Log of the factor of the domain that does most.")
    step: float = Field(0.3, gt=0, lt=1, description="How far a trial perturbs one domain to learn what it does.")
    reward: str = Field(
        "",
        description="Metric by domain that is the reward, such as excess loss or influence; empty = what perturbing "
        "each domain does to the metric of the mixture (Aioli).",
    )

    def try_first(self, evidence: "Evidence", count: int) -> Float64Array:
        """Return perturbations of equal weights, one domain at a time."""
        return self._perturbed(evidence.uniform, count, 0)

    def propose(self, evidence: "Evidence", count: int) -> Float64Array:
        """Return the last centre, moved, then perturbations of it, domain after domain over the rounds."""
        base = np.maximum(evidence.centre(), 1e-3)
        centre = exponentiate(base / base.sum(), self._rewards(evidence), self.rate)
        return np.vstack([centre[None], self._perturbed(centre, count - 1, evidence.round * (count - 1))])

    def reward_metric(self) -> str:
        """Return the metric that rewards a domain."""
        return self.reward

    def _rewards(self, evidence: "Evidence") -> Float64Array:
        if self.reward:
            last = max(trial.round for trial in evidence.scored)
            given = np.array([trial.rewards for trial in evidence.scored if trial.round == last])
            counts = np.isfinite(given).sum(axis=0)
            return np.where(counts > 0, np.nansum(given, axis=0) / np.maximum(counts, 1), 0.0)
        by_domain = evidence.table(lambda trial: trial.by_domain)
        known = np.isfinite(by_domain).all(axis=0)
        values = by_domain[:, known] if known.any() else evidence.table(lambda trial: np.array([trial.value]))
        helped = interactions(evidence.table(lambda trial: trial.weights), evidence.sign * values)
        total: Float64Array = helped.sum(axis=0)
        return total

    def _perturbed(self, centre: Float64Array, count: int, first: int) -> Float64Array:
        found = np.empty((count, len(centre)))
        for place in range(count):
            one = np.zeros(len(centre))
            one[(first + place) % len(centre)] = 1.0
            found[place] = (1 - self.step) * centre + self.step * one
        return found
