"""Split large classes into sub-classes of about the size of the smallest class, and balance over sub-classes.

Source: SBCL (subclass-balancing contrastive learning, arXiv 2306.15925): a class of n rows has n // max(n_min, 10)
sub-clusters. Here they are sequences of neighbouring leaves, so no class is clustered again.
"""

from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AliasChoices, Field

from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.tree import ClusterTree
from evenkeel.tasks.sample.strata.count import CrossedStrata, cross_strata
from evenkeel.tasks.sample.strategy import Strategy


class Subclass(Strategy):
    """Split large group values into sub-classes about the size of the smallest value; the same quota for each."""

    name: Literal["subclass"] = "subclass"
    group: str = Field(min_length=1, description="The group column that holds the class.")
    min_rows: int = Field(
        10, ge=1, validation_alias=AliasChoices("min_rows", "least"), description="Rows of a sub-class at least."
    )

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return equal quotas over the sub-classes."""
        strata = cross_strata(problem.rows, [self.group], problem.compute)
        subclass = subclasses(strata, problem.tree, self.min_rows)
        sizes = np.rint(np.bincount(subclass, strata.counts)).astype(np.int64)
        return DrawPlan(
            problem.fill(sizes=sizes),
            sizes,
            cells_of=_Subclasses(strata, subclass),
            columns=strata.by_value.columns,
            facts={"subclasses": len(sizes)},
        )


def subclasses(strata: CrossedStrata, tree: ClusterTree, min_rows: int) -> NDArray[np.int64]:
    """Return the sub-class of every pair of class and leaf, (pairs,) int64."""
    nearby = np.lexsort(tuple(tree.ancestors(level)[strata.leaves] for level in range(1, tree.depth + 1)))
    order = nearby[np.argsort(strata.strata[nearby], kind="stable")]
    counts, classes = strata.counts[order], strata.strata[order]
    aim = max(int(strata.by_value.sizes.min()), min_rows)
    parts = np.maximum(1, strata.by_value.sizes // aim)
    before = np.cumsum(counts) - counts
    inside = before - np.repeat(before[np.searchsorted(classes, np.arange(len(parts)))], np.bincount(classes))
    chunk = np.minimum(inside * parts[classes] // strata.by_value.sizes[classes], parts[classes] - 1)
    numbered = np.unique(classes * (int(parts.max()) + 1) + chunk, return_inverse=True)[1]
    found = np.empty(len(order), np.int64)
    found[order] = numbered
    return found


class _Subclasses:
    def __init__(self, strata: CrossedStrata, subclass: NDArray[np.int64]) -> None:
        self.strata, self.subclass = strata, subclass

    def __call__(self, table: pa.Table, block: str) -> NDArray[np.int64]:
        return self.subclass[self.strata.pair_of(table)]
