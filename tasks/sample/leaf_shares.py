"""The rows that each leaf is expected to give under a plan, without drawing any."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from evenkeel.tasks.sample.blocks import SharedArray
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.weigh import cells_of, weigh

LeafRows = tuple[NDArray[np.int64], NDArray[np.float64]]


def leaf_shares(plan: DrawPlan, problem: SamplingProblem) -> NDArray[np.float64]:
    """Return the rows that each leaf is expected to give, (k1,) float64; blocks are added in pairs on the workers.

    Weights count as inclusion probabilities, in a sketch of eight bins for each doubling; of rows that are drawn one by
    one, or by the largest weight, that is an approximation.
    """
    shares = np.zeros(problem.tree.leaves)
    if plan.cells_of is None:
        return plan.allocation.shares
    copies = plan.copies or problem.limits.max_repeats
    if plan.weights_of is None:
        factor = plan.allocation.shares / np.maximum(1, plan.sizes)
    else:
        factor = weigh(plan, problem.rows, "", problem.compute).scale(plan.allocation.shares, copies)
    shared = SharedArray.of(factor, problem.folder, problem.scratch)
    expect = partial(_expected, rows=problem.rows, plan=plan.to_send(), factor=shared, copies=copies)
    found = problem.compute.reduce(expect, _add, problem.rows.blocks, work=problem.rows.pool.rows * 60)
    if found is not None:
        shares[found[0]] = found[1]
    return shares


def _expected(block: str, rows: CandidateRows, plan: DrawPlan, factor: SharedArray, copies: int) -> LeafRows:
    table = rows.table(block, plan.columns)
    expected = factor.read()[cells_of(plan, table, block)]
    if plan.weights_of is not None:
        weight = plan.weights_of(table, block)
        expected = np.minimum(np.where(weight > 0, expected, 0.0) * np.maximum(weight, 1e-300), float(copies))
    return _summed(table["leaf"].to_numpy().astype(np.int64), expected)


def _add(one: LeafRows, other: LeafRows) -> LeafRows:
    return _summed(np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]]))


def _summed(leaf: NDArray[np.int64], rows: NDArray[np.float64]) -> LeafRows:
    known, place = np.unique(leaf, return_inverse=True)
    return known, np.bincount(place, rows, len(known)).astype(np.float64)
