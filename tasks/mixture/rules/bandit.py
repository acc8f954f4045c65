"""Domains as the arms of a bandit: more of those that reward most, and of those that are known least.

Sources: DUMP (arXiv 2504.09710): upper confidence bounds of the domains' rewards, and a softmax over them; Quad (arXiv
2409.16986): clusters as arms. Rewards that drift are discounted (Garivier and Moulines 2011).
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.mixture.rule import MixtureRule

if TYPE_CHECKING:
    from evenkeel.tasks.mixture.evidence import Evidence


def confidence_bounds(rewards: Float64Array, explore: float, discount: float = 1.0) -> Float64Array:
    """Return mean_j + explore x scale x sqrt(2 ln n / n_j) of every arm, (k,); infinite where an arm was never seen.

    rewards: (t, k) in the order of time, NaN where an arm was not seen. Older ones count `discount` times as much for
    each step of time; n_j are discounted counts, n their sum. scale: the range of the rewards seen.
    """
    age = np.arange(len(rewards))[::-1]
    weight = np.where(np.isnan(rewards), 0.0, discount ** age[:, None])
    counts = weight.sum(axis=0)
    seen = counts > 0
    if not seen.any():
        return np.full(rewards.shape[1], np.inf)
    mean = np.nansum(np.nan_to_num(rewards) * weight, axis=0) / np.where(seen, counts, 1.0)
    scale = float(np.nanmax(rewards) - np.nanmin(rewards)) or 1.0
    bonus = explore * scale * np.sqrt(2 * np.log(max(counts.sum(), np.e)) / np.where(seen, counts, 1.0))
    return np.where(seen, mean + bonus, np.inf)


def softmax(values: Float64Array, temperature: float) -> Float64Array:
    """Return weights in proportion to exp(value / temperature), (k,); infinite values share everything."""
    if np.isinf(values).any():
        unseen: Float64Array = np.isinf(values).astype(np.float64)
        unseen /= unseen.sum()
        return unseen
    scaled = np.exp((values - values.max()) / temperature)
    found: Float64Array = scaled / scaled.sum()
    return found


class Bandit(MixtureRule):
    """Weigh domains by the upper confidence bounds of their rewards."""

    name: Literal["bandit"] = "bandit"
    explore: float = Field(0.2, ge=0, description="How much the domains that are known least are favoured.")
    temperature: float = Field(0.2, gt=0, description="Of the softmax, in units of the range of the bounds.")
    discount: float = Field(0.8, gt=0, le=1, description="What a reward counts a round later; below 1 follows drift.")
    reward: str = Field("", description="Metric by domain that rewards it; empty = the metric of the mixture.")

    def propose(self, evidence: "Evidence", count: int) -> Float64Array:
        """Return the softmax of the bounds, then mixtures that lean towards one arm each, the most promising first."""
        bounds = confidence_bounds(self._rewards(evidence), self.explore, self.discount)
        finite = bounds[np.isfinite(bounds)]
        spread = float(finite.max() - finite.min()) if len(finite) else 1.0
        centre = softmax(bounds, self.temperature * (spread or 1.0))
        order = np.argsort(-bounds, kind="stable")
        mixtures = [centre]
        for place in range(count - 1):
            leaning = np.zeros(len(bounds))
            leaning[order[place % len(order)]] = 1.0
            mixtures.append(0.5 * centre + 0.5 * leaning)
        return np.array(mixtures)

    def reward_metric(self) -> str:
        """Return the metric that rewards a domain."""
        return self.reward

    def _rewards(self, evidence: "Evidence") -> Float64Array:
        """Return one row of rewards for each round, (rounds, k): the mean over its trials.

        Where nothing is reported by domain, the domain that a trial has most more of than the pool takes its value.
        """
        sign = 1.0 if self.reward else evidence.sign
        given = sign * evidence.table(lambda trial: trial.rewards)
        if np.isnan(given).all():
            given = np.full((len(evidence.scored), len(evidence.names)), np.nan)
            for place, trial in enumerate(evidence.scored):
                given[place, int((trial.weights - evidence.natural).argmax())] = evidence.sign * trial.value
        rounds = np.array([trial.round for trial in evidence.scored])
        parts = [given[rounds == one] for one in np.unique(rounds)]
        counts = [np.isfinite(part).sum(axis=0) for part in parts]
        sums = [np.nansum(part, axis=0) for part in parts]
        return np.array([np.where(n > 0, s / np.maximum(n, 1), np.nan) for s, n in zip(sums, counts, strict=True)])
