"""Nearness to a target against evenness, for every share of the target's pull, without drawing a row."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from evenkeel.expectations.measures import balance
from evenkeel.infra.dtypes import Int64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.distance.measures import transported
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.sample.balanced.steps import read_partitions
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.strategies.balanced import Balanced
from evenkeel.tasks.sample.strategies.toward import Toward
from evenkeel.tasks.sample.sweep import imbalance_of, problem_in_rows
from evenkeel.tasks.signal.toward.clusters import count_leaves
from evenkeel.tasks.step import Run

MOST_CLUSTERS = 1024
OWN = "this recipe"


class PullRow(TypedDict):
    """What a share of the target's pull comes to. distance: transport to the target, as a share of the pool's.

    on_target: share of the rows in clusters that hold rows of the target. The others are measured as in `SweepRow`.
    """

    toward: float
    rows: int
    distance: float
    on_target: float
    imbalance: float
    entropy: float
    coverage: float
    own: bool


def sweep_pulls(config: SamplingConfig, inputs: SampleInputs, pulls: Sequence[float], run: Run) -> list[PullRow]:
    """Return nearness and evenness of the strategy `toward` at some shares of its pull, and at its own, ascending.

    Leaves are compared by their quotas, lifted to the finest level of at most 1,024 clusters. Raises RecipeError for
    another strategy, and for a share outside of 0 to 1.
    """
    strategy = config.strategy
    if not isinstance(strategy, Toward) or strategy.target is None:
        raise RecipeError(
            "there is no pull towards a target to change",
            expected="strategy: toward, with a target_set",
            found=f"strategy: {strategy.name}",
            where="sampling.strategy",
            remedy="leave --toward out",
        )
    if wrong := [pull for pull in pulls if not 0 <= pull <= 1]:
        raise RecipeError("a share of the pull is out of range", expected="numbers from 0 to 1", found=f"{wrong[0]:g}")
    problem = problem_in_rows(config, inputs, run)
    hierarchy, vectors = Hierarchy.open(inputs.cluster), Vectors.open(inputs.embed, run.scratch)
    wanted = count_leaves(strategy.target.vectors(vectors, run), hierarchy, str(run.scratch / "pulls"), run)
    even, pulled = Balanced().leaf_plan(problem).allocation.quotas, strategy.rows_of_leaves(problem)
    measure = None if inputs.partition is None else read_partitions(inputs.partition)
    level = next((n for n, one in enumerate(hierarchy.levels, 1) if one.clusters <= MOST_CLUSTERS), None)

    def distance(counts: Int64Array) -> float:
        if level is None:
            return float("nan")
        cluster, centroids = hierarchy.ancestors(level), hierarchy.levels[level - 1].centroids
        a, b = (np.bincount(cluster, one, len(centroids)).astype(np.int64) for one in (wanted, counts))
        return transported(a, b, centroids)

    of_pool = distance(hierarchy.levels[0].counts.astype(np.int64))
    found: list[PullRow] = []
    for pull in sorted({*pulls, strategy.toward}):
        one = strategy.model_copy(update={"toward": pull})
        quotas = one.blend(pulled, even, problem).quotas
        measures = balance(quotas.astype(np.float64), problem.tree.sizes > 0)
        found.append(
            {
                "toward": pull,
                "rows": int(quotas.sum()),
                "distance": distance(quotas) / of_pool if of_pool > 0 else float("nan"),
                "on_target": float(quotas[wanted > 0].sum() / max(quotas.sum(), 1)),
                "imbalance": imbalance_of(measure, quotas.astype(np.float64)),
                "entropy": measures["entropy"],
                "coverage": measures["coverage"],
                "own": pull == strategy.toward,
            }
        )
    return found
