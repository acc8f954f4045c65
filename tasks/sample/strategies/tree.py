"""Split the target over a tree of labels: equally over the values of the first column, and again below each of them.

Source: trees of attributes as the grouping, SSD-LLM (Luo et al. 2024, arXiv 2405.02363) and TreeSynth (Wang et al.
2025, arXiv 2503.17195); the split is that of hierarchical balanced sampling (Vo et al. 2024, arXiv 2405.15613).
"""

from typing import Annotated, Literal

from pydantic import Field

from evenkeel.tasks.sample.draw_plan import DrawPlan
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import split
from evenkeel.tasks.sample.quotas.tree import ClusterTree
from evenkeel.tasks.sample.strata.count import find_strata
from evenkeel.tasks.sample.strategy import Strategy

SHOWN = 1000

Columns = Annotated[
    list[str],
    Field(min_length=1, description="Group columns from the coarsest to the finest, such as domain, topic, style."),
]


class Tree(Strategy):
    """Take group columns as a tree of labels, and give sibling labels the same quota at every level."""

    name: Literal["tree"] = "tree"
    columns: Columns

    def reads(self) -> tuple[str, ...]:
        """Return the group columns."""
        return tuple(f"group.{name}" for name in self.columns)

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return quotas over the combinations of labels; a label that has too few rows leaves its share to siblings."""
        strata = find_strata(problem.rows, self.columns, problem.compute)
        tree = ClusterTree(strata.sizes, strata.coding.parents())
        allocation = split(tree, strata.sizes * problem.limits.max_repeats, problem.target, seed=problem.seed)
        labels = dict(zip(self.columns, reversed(tree.widths), strict=True))
        top = tree.lift(allocation.quotas, tree.depth)
        names = strata.coding.dictionaries[0].to_pylist()
        quotas = dict(zip(names, top.tolist(), strict=True)) if len(names) <= SHOWN else {}
        facts = {"labels": labels, "quotas": quotas}
        return DrawPlan(allocation, strata.sizes, cells_of=strata.of, columns=strata.columns, facts=facts)
