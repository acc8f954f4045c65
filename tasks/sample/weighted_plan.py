"""Plan a draw by weights: from the pool as one cell, or inside the leaves where they have quotas."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evenkeel.tasks.sample.draw_plan import Draw, DrawPlan, WeightsOf, one_cell_plan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import water_fill
from evenkeel.tasks.sample.weigh import BINS, WeightSketch, weigh

Within = Literal["pool", "leaves"]


def weighted_plan(
    problem: SamplingProblem,
    weights_of: WeightsOf,
    columns: Sequence[str] = (),
    *,
    within: Within = "pool",
    draw: Draw = "poisson",
    copies: int | None = None,
    facts: Mapping[str, object] | None = None,
) -> DrawPlan:
    """Return a plan that draws rows by their weights.

    within: leaves = the same quota for every leaf, and weights inside. Where the recipe sets a floor or a cap, the pool
    is drawn leaf by leaf: a leaf's quota is water-filled by the copies that its rows would give without them.
    """
    facts = {"draw": draw, **(facts or {})}
    tree, limits = problem.tree, problem.limits
    if within == "leaves":
        return DrawPlan(problem.fill(), tree.sizes, None, weights_of, columns, facts=facts, draw=draw, copies=copies)
    if not limits.floor and limits.cap is None:
        return one_cell_plan(problem, tree.rows, weights_of, columns, facts, draw, copies)
    most = copies or limits.max_repeats
    plan = DrawPlan(water_fill(tree.sizes, 0), tree.sizes, None, weights_of, columns, draw=draw, copies=copies)
    sketch = weigh(plan, problem.rows, "", problem.compute)
    held = sketch.rows(tree.leaves)
    caps = held * most if limits.cap is None else np.minimum(held * most, limits.cap)
    expected = expected_copies(sketch, tree.leaves, problem.target, most)
    allocation = water_fill(
        caps, problem.target, weights=expected, floors=np.minimum(held, limits.floor), seed=problem.seed
    )
    return DrawPlan(allocation, tree.sizes, None, weights_of, columns, facts=facts, draw=draw, copies=copies)


def expected_copies(sketch: WeightSketch, cells: int, target: int, copies: int) -> NDArray[np.float64]:
    """Return the copies that the rows of every cell give where the pool is drawn as one cell, (cells,) float64."""
    pool = WeightSketch.summed(sketch.keys % BINS, sketch.counts, sketch.sums)
    factor = pool.scale(np.array([float(target)]), copies)[0]
    each = np.minimum(factor * (sketch.sums / sketch.counts), float(copies))
    return np.bincount(sketch.cell, each * sketch.counts, cells).astype(np.float64)
