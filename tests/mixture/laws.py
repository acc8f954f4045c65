"""Planted laws of training: what a mixture is worth, known in advance."""

from dataclasses import dataclass

import numpy as np

from evenkeel.tasks.mixture.evidence import Evidence, Trial

NAMES = ("code", "forum", "law", "math", "news", "web")


@dataclass(frozen=True)
class Planted:
    """Loss of domain i after training on mixture w: floor_i + height_i exp(-(A w)_i)."""

    helps: np.ndarray
    height: np.ndarray

    def losses(self, weights: np.ndarray) -> np.ndarray:
        found: np.ndarray = 0.2 + self.height * np.exp(-self.helps @ weights)
        return found


def planted(seed: int, count: int = len(NAMES)) -> Planted:
    """Every domain helps itself most, and some of the others."""
    rng = np.random.default_rng(seed)
    helps = rng.uniform(0, 2, (count, count)) + np.diag(rng.uniform(4, 8, count))
    return Planted(helps, rng.uniform(0.5, 1.5, count))


def evidence(law: Planted, mixtures: np.ndarray, noise: float = 0.0, seed: int = 0, rounds: int = 1) -> Evidence:
    """Return what is known after training on some mixtures, (t, k), given their losses with noise."""
    rng, count = np.random.default_rng(seed), mixtures.shape[1]
    natural = 1 / np.arange(1, count + 1) ** 2
    natural /= natural.sum()
    trials = []
    for number, weights in enumerate(mixtures):
        losses = law.losses(weights) + rng.normal(0, noise, count)
        trials.append(
            Trial(
                name=f"trial-{number}",
                role="tried",
                round=number * rounds // len(mixtures),
                weights=weights,
                value=float(losses.mean()),
                error=noise,
                by_domain=losses,
                rewards=losses,
                rows=np.rint(1000 * weights).astype(np.int64),
            )
        )
    return Evidence(
        names=NAMES[:count],
        natural=natural,
        sizes=np.rint(1e5 * natural).astype(np.int64),
        budget=1000,
        trials=tuple(trials),
        maximise=False,
        round=1,
        seed=seed,
    )
