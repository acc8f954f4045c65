"""What a rule of mixtures is told: the domains, what was tried, and what training made of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.tasks.mixture.simplex import limited


@dataclass(frozen=True)
class Trial:
    """One mixture that was tried, and what was reported of it.

    role: why it was tried: natural, uniform, stratified, proposed (what the rule believed in), or tried. weights: (k,).
    round: from 0. value: the metric over everything, NaN where it was not reported; error: its standard error, NaN
    where unknown. by_domain: (k,) the metric of each domain, rewards: (k,) what the rule is rewarded by;
    both NaN where not reported. rows: (k,) int64, of the trial in each domain.
    """

    name: str
    role: str
    round: int
    weights: Float64Array
    value: float
    error: float
    by_domain: Float64Array
    rewards: Float64Array
    rows: Int64Array

    @property
    def scored(self) -> bool:
        """Whether training reported of it."""
        return bool(np.isfinite(self.value))


@dataclass(frozen=True)
class Evidence:
    """The domains of a pool and what is known of their mixtures.

    names: of the k domains. natural: (k,) their shares of the pool, sizes: (k,) int64 their rows. cost: (k,) of a row
    of each. budget: rows of a trial. maximise: whether a larger value of the metric is better.
    """

    names: tuple[str, ...]
    natural: Float64Array
    sizes: Int64Array
    budget: int
    trials: tuple[Trial, ...] = ()
    floor: float = 0.0
    cap: float = 1.0
    cost: Float64Array = field(default_factory=lambda: np.empty(0))
    maximise: bool = True
    round: int = 0
    seed: int = 0

    @property
    def scored(self) -> tuple[Trial, ...]:
        """Return the trials that training reported of, in their order."""
        return tuple(trial for trial in self.trials if trial.scored)

    @property
    def sign(self) -> float:
        """Return 1 where a larger value is better, else -1."""
        return 1.0 if self.maximise else -1.0

    @property
    def costs(self) -> Float64Array:
        """Return the cost of a row of each domain, (k,); 1 where none is given."""
        return self.cost if len(self.cost) else np.ones(len(self.names))

    @property
    def uniform(self) -> Float64Array:
        """Return the mixture that gives every domain the same weight, (k,)."""
        return np.full(len(self.names), 1 / len(self.names))

    def rng(self, purpose: int) -> np.random.Generator:
        """Return the generator of this round for one purpose: the same evidence draws the same numbers."""
        return np.random.default_rng([self.seed, self.round, purpose])

    def limit(self, weights: Float64Array) -> Float64Array:
        """Return mixtures, (..., k), within floor and cap."""
        return limited(weights, self.floor, self.cap)

    def incumbent(self) -> Float64Array:
        """Return the mixture that the latest scored round found best, (k,); equal weights before the first."""
        if not self.scored:
            return self.uniform
        last = max(trial.round for trial in self.scored)
        those = [trial for trial in self.scored if trial.round == last]
        return max(those, key=lambda trial: self.sign * trial.value).weights

    def centre(self) -> Float64Array:
        """Return the mixture that the rule believed in last, (k,); equal weights before it believed in any."""
        believed = [trial.weights for trial in self.trials if trial.role == "proposed"]
        return believed[-1] if believed else self.uniform

    def table(self, of: Callable[[Trial], Float64Array]) -> Float64Array:
        """Return one row for each scored trial, (t, ...) float64."""
        return np.array([of(trial) for trial in self.scored])


@dataclass(frozen=True)
class Geometry:
    """What is known of the domains without training.

    names: of the k domains. natural: (k,) shares of the pool. histograms: (c, k) share of each domain's rows in each
    cluster. target: (c,) share of the target set's rows, None where there is none. means: (k, d) mean vectors.
    """

    names: tuple[str, ...]
    natural: Float64Array
    histograms: Float64Array = field(default_factory=lambda: np.empty((0, 0)))
    target: Float64Array | None = None
    means: Float64Array = field(default_factory=lambda: np.empty((0, 0)))
