"""Budgets of domains by graph cut: domains that represent the others and do not repeat one another get more rows.

Source: SMART (arXiv 2403.08370). The graph cut of a set S of domains is sum over all i, over j in S, of s_ij minus
lambda times the sum over pairs in S; it is maximised greedily over all domains, and a budget is in proportion to
1 + g + g^2 / 2 of the gain g of its domain (a softmax by Taylor's series, which stays positive).
"""

from functools import partial
from itertools import pairwise

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int64Array
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.greedy.engine import lazy_greedy
from evenkeel.tasks.sample.greedy.vectors import cosine_similarity
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import Allocation, water_fill
from evenkeel.tasks.sample.strata.count import CrossedStrata, Strata


class GraphCut:
    """The graph cut of a set of domains. similarity: (n, n) >= 0."""

    def __init__(self, similarity: Float64Array, redundancy: float) -> None:
        self.similarity, self.redundancy = similarity, redundancy
        self.left = similarity.sum(axis=1) - redundancy * np.diag(similarity)

    def gains(self) -> Float64Array:
        """Return what every domain would add now, (n,) float64."""
        return np.array(self.left)

    def gain(self, row: int) -> float:
        """Return what a domain would add now."""
        return float(self.left[row])

    def add(self, row: int) -> None:
        """Add a domain to the set."""
        self.left = self.left - 2 * self.redundancy * self.similarity[row]


def domain_budgets(means: Float32Array, redundancy: float) -> Float64Array:
    """Return the shares of domains in the target, (n,) float64 that sum to 1, from their mean vectors (n, d).

    Similarities are divided by the number of domains, so that gains do not grow with it.
    """
    similarity = cosine_similarity(means).astype(np.float64) / max(len(means), 1)
    chosen = lazy_greedy(GraphCut(similarity, redundancy), len(means))
    gains = np.empty(len(means))
    gains[chosen.order] = chosen.gains
    weights = 1.0 + gains + gains**2 / 2
    shares: Float64Array = weights / weights.sum()
    return shares


def domain_means(problem: SamplingProblem, strata: Strata) -> Float32Array:
    """Return the mean vector of the rows of every domain, (domains, d) float32."""
    rows = problem.rows
    found = problem.compute.reduce(
        partial(_sum_block, rows=rows, strata=strata), np.add, rows.blocks, work=rows.pool.rows * 400
    )
    assert found is not None
    return np.asarray(found / np.maximum(strata.sizes, 1)[:, None], np.float32)


def domain_quotas(
    means: Float32Array, redundancy: float, crossed: CrossedStrata, problem: SamplingProblem
) -> tuple[Int64Array, Allocation]:
    """Return the budget of every domain, (domains,) int64, and equal quotas of its leaves as far as they go."""
    repeats, sizes = problem.limits.max_repeats, crossed.by_value.sizes
    shares = domain_budgets(means, redundancy)
    budgets = water_fill(sizes * repeats, problem.target, weights=shares, seed=problem.seed).quotas
    quotas, expected = np.zeros(len(crossed.counts), np.int64), np.zeros(len(crossed.counts))
    edges = np.searchsorted(crossed.strata, np.arange(len(sizes) + 1))
    for domain, (start, stop) in enumerate(pairwise(edges.tolist())):
        filled = water_fill(crossed.counts[start:stop] * repeats, int(budgets[domain]), seed=problem.seed)
        quotas[start:stop], expected[start:stop] = filled.quotas, filled.shares
    return budgets, Allocation(quotas, expected)


def _sum_block(block: str, rows: CandidateRows, strata: Strata) -> Float64Array:
    table = rows.table(block, strata.columns)
    vectors = rows.vectors(block, table["row_id"].to_numpy())
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-30))
    sums = np.zeros((len(strata), vectors.shape[1]))
    np.add.at(sums, strata.of(table), vectors / lengths)
    return sums
