"""The weights of the three published rules, from quality in [0, 1] and the clusters."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.tasks.sample.balanced.rules import steady_radii
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quality.blend import Blend, RankCurve
from evenkeel.tasks.sample.quotas.tree import ClusterTree

REFERENCES, CHUNK = 2048, 4096


@dataclass(frozen=True)
class Sigmoid:
    """The sampling value of QuaDMix: expected copies by rank, for the scores of one domain."""

    scores: dict[str, float]
    sharpness: float
    omega: float
    eta: float
    epsilon: float

    def copies(self, rank: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (2 / (1 + exp(-lambda (omega - r))))^eta + eps up to omega and eps beyond, (n,) float64."""
        inside = (2.0 / (1.0 + np.exp(-self.sharpness * (self.omega - rank)))) ** self.eta
        return np.where(rank <= self.omega, inside + self.epsilon, self.epsilon)

    @property
    def most(self) -> float:
        """Return the largest value there is."""
        return float(self.copies(np.zeros(1))[0])


@dataclass(frozen=True)
class QuadmixWeights:
    """The expected copies of a row by its rank among the rows of its domain.

    domain: the group column, empty for one domain. curves, sigmoids: by value; "" for all others.
    """

    blend: Blend
    domain: str
    curves: dict[str, RankCurve]
    sigmoids: dict[str, Sigmoid]

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.float64]:
        """Return the weights of the rows of a block, (n,) float64."""
        weights = np.zeros(table.num_rows)
        for value, mine in by_value(table, self.domain):
            sigmoid = self.sigmoids.get(value, self.sigmoids[""])
            curve = self.curves.get(value, self.curves[""])
            weights[mine] = sigmoid.copies(curve.rank(self.blend.of(table.take(pa.array(mine)), sigmoid.scores)))
        return weights


@dataclass(frozen=True)
class SamplemixWeights:
    """share * diversity + (1 - share) * quality. diversity: (k1,) of every leaf, in [0, 1]."""

    blend: Blend
    scores: dict[str, float]
    share: float
    diversity: NDArray[np.float64]

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.float64]:
        """Return the weights of the rows of a block, (n,) float64."""
        mixed: NDArray[np.float64] = self.share * self.diversity[table["leaf"].to_numpy()]
        return mixed + (1.0 - self.share) * self.blend.of(table, self.scores)


@dataclass(frozen=True)
class SoftmaxWeights:
    """exp(sharpness * quality), which drawn one by one is a softmax without replacement."""

    blend: Blend
    scores: dict[str, float]
    sharpness: float

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.float64]:
        """Return the weights of the rows of a block, (n,) float64."""
        weights: NDArray[np.float64] = np.exp(self.sharpness * (self.blend.of(table, self.scores) - 1.0))
        return weights


def by_value(table: pa.Table, group: str) -> list[tuple[str, NDArray[np.int64]]]:
    """Return the values of a group column in a table, each with the places of its rows; "" without a column."""
    if not group:
        return [("", np.arange(table.num_rows))]
    coded = table[f"group.{group}"].combine_chunks().fill_null("(none)").dictionary_encode()
    code = coded.indices.to_numpy()
    order = np.argsort(code, kind="stable")
    values: list[str] = coded.dictionary.to_pylist()
    cuts = np.searchsorted(code[order], np.arange(len(values) + 1))
    return [(value, order[cuts[place] : cuts[place + 1]]) for place, value in enumerate(values)]


def cluster_diversity(tree: ClusterTree, seed: int) -> NDArray[np.float64]:
    """Return compactness x separation of every leaf against the 99th percentile, in [0, 1], (k1,) float64.

    Compactness is the radius of a leaf, which is large where its rows are unlike each other; separation is the mean
    distance of its centroid to the others, at most 2,048 of them drawn at random (SampleMix, arXiv 2503.01506).
    """
    spread = steady_radii(tree) * separation(tree.centroids, tree.leaves, seed)
    held = spread[tree.sizes > 0]
    scale = float(np.quantile(held, 0.99)) if len(held) else 1.0
    return np.clip(spread / scale, 0.0, 1.0) if scale > 0 else np.ones(tree.leaves)


def separation(centroids: NDArray[np.float32] | None, leaves: int, seed: int) -> NDArray[np.float64]:
    """Return the mean distance of every centroid to the other ones, (k1,) float64; 1 where there are no others."""
    if centroids is None or leaves < 2:
        return np.ones(leaves)
    centred = centroids.astype(np.float64) - centroids.mean(axis=0, dtype=np.float64)
    chosen = np.arange(leaves)
    if leaves > REFERENCES:
        chosen = np.sort(np.random.default_rng(seed).choice(leaves, REFERENCES, replace=False))
    others, norms = centred[chosen], (centred**2).sum(axis=1)
    found = np.empty(leaves)
    for first in range(0, leaves, CHUNK):
        part = slice(first, first + CHUNK)
        squares = norms[part, None] + norms[chosen] - 2.0 * centred[part] @ others.T
        squares[chosen[None, :] == np.arange(leaves)[part, None]] = 0.0
        found[part] = np.sqrt(np.maximum(squares, 0.0)).sum(axis=1)
    found /= len(chosen) - np.isin(np.arange(leaves), chosen)
    return found


def reward_weights(problem: SamplingProblem, rewards: list[str], scale: float) -> NDArray[np.float64]:
    """Return the weight of every leaf after rounds of rewards, exp(scale * sum of its mean rewards), (k1,) float64.

    rewards: one score column for each round, NaN where a row was not scored; a leaf without any takes the mean of all.
    """
    leaves, exponent = problem.tree.leaves, np.zeros(problem.tree.leaves)
    for name in rewards:
        problem.rows.check([f"score.{name}"])
        find = partial(_leaf_rewards, rows=problem.rows, name=name)
        found = problem.compute.reduce(find, _add_leaves, problem.rows.blocks, work=problem.rows.pool.rows * 20)
        leaf, count, total = found if found is not None else (np.empty(0, np.int64), np.empty(0), np.empty(0))
        mean = np.full(leaves, total.sum() / count.sum() if count.sum() else 0.0)
        mean[leaf] = total / count
        exponent += scale * mean
    return np.exp(exponent - exponent.max(initial=-np.inf)) if leaves else exponent


LeafSums = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


def _leaf_rewards(block: str, rows: CandidateRows, name: str) -> LeafSums:
    table = rows.table(block, [f"score.{name}"])
    reward = table[f"score.{name}"].to_numpy().astype(np.float64)
    scored = np.isfinite(reward)
    return _summed(table["leaf"].to_numpy().astype(np.int64)[scored], np.ones(int(scored.sum())), reward[scored])


def _add_leaves(one: LeafSums, other: LeafSums) -> LeafSums:
    return _summed(*(np.concatenate([left, right]) for left, right in zip(one, other, strict=True)))


def _summed(leaf: NDArray[np.int64], count: NDArray[np.float64], total: NDArray[np.float64]) -> LeafSums:
    known, place = np.unique(leaf, return_inverse=True)
    counts, totals = (np.bincount(place, part, len(known)).astype(np.float64) for part in (count, total))
    return known, counts, totals
