"""Choose the rows that people label next; the version is a labelling batch, and its labels come back as a column.

Sources. anchors: AnchorAL (arXiv 2404.05623). balanced: DEUCE (arXiv 2502.00305), even over
predicted classes and neighbourhoods. minority: mining of the classes with the fewest labels. clusters: one row of every
cluster, before there are labels. tailor: rules take turns by what each has brought in, TAILOR (arXiv 2302.07317).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from evenkeel.expectations.goals import Goal
from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.sample.draw_plan import DrawPlan, one_cell_plan
from evenkeel.tasks.sample.greedy.picks import COLUMNS, Picks
from evenkeel.tasks.sample.labelling.options import ASKED, OneRule, Per, Rule, Uncertainty
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import water_fill
from evenkeel.tasks.sample.strategy import Strategy

if TYPE_CHECKING:
    from evenkeel.tasks.cluster.hierarchy import Level
    from evenkeel.tasks.sample.labelling.labelled import Labelled

HISTORY = "asked"


@dataclass(frozen=True)
class Unseen:
    """The weight of a row by another rule, and 0 for a row that has a label. column: of labels, if any."""

    column: tuple[str, ...]
    picks: Picks | None

    def __call__(self, table: pa.Table, block: str) -> Float64Array:
        """Return the weights of the rows of a table, (n,) float64: of the picks, or 1 / (1 + distance)."""
        from evenkeel.tasks.sample.labelling.labelled import is_labelled

        nearness = 1.0 / (1.0 + table["distance"].to_numpy().astype(np.float64)) if self.picks is None else None
        weights: Float64Array = self.picks(table, block) if self.picks is not None else np.asarray(nearness)
        for column in self.column:
            weights = np.where(is_labelled(table[column]), 0.0, weights)
        return weights


class ToLabel(Strategy):
    """Choose the rows that people label next, by the labels there are."""

    obeys: ClassVar[frozenset[str]] = frozenset()
    goal: ClassVar[Goal] = "plan"

    name: Literal["to-label"] = "to-label"
    rule: Rule = Field(
        "anchors",
        description="anchors: of every predicted class rows that are unsure and far apart, among those most like "
        "labelled ones; balanced: the least sure of every predicted class and leaf; minority: probably of the classes "
        "with the fewest labels; clusters: one of every leaf without a label, which needs none; tailor: `rules` take "
        "turns, those more often that brought in labels of rare classes.",
    )
    rules: list[OneRule] = Field(
        ["anchors", "balanced", "minority", "clusters"],
        min_length=2,
        description="tailor: The rules that take turns; random = rows by chance, which the others should beat.",
    )
    asked: str = Field(
        "",
        description="tailor: The group column that says which rule asked for a labelled row; empty = `asked`, if there "
        "is one: labels: {asked_by: ek_asked_by} makes it.",
    )
    labels: str = Field(
        "labels",
        description="The group column with the labels; rows without are chosen from. Empty = no row has one, for rule: "
        "clusters.",
    )
    uncertainty: Uncertainty = Field(
        "margin", description="How unsure a linear model is: by its two best classes, all classes, or the best alone."
    )
    anchors: int = Field(
        10, ge=1, le=1000, description="anchors: labelled rows of each class that others are compared with."
    )
    pool: int = Field(
        0,
        ge=0,
        description="anchors: rows that are compared for each class; 0 = forty times the target over the classes.",
    )
    per: Per = Field(
        "class",
        description="anchors: what the batch is even over: class = predicted classes, which finds rare ones; cluster = "
        "leaves, for classes that are about as frequent.",
    )
    avoid_outliers: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the rows left out: in the leaves farthest from all others, without a label.",
    )

    @model_validator(mode="after")
    def _labels_where_they_are_read(self) -> Self:
        if not self.labels and self.rule != "clusters":
            raise ValueError(f"rule: {self.rule} needs labels: the group column that holds them; or rule: clusters")
        if len(set(self.rules)) < len(self.rules):
            raise ValueError(f"rules: one is named twice: {', '.join(self.rules)}")
        return self

    @property
    def column(self) -> tuple[str, ...]:
        """The column of labels; none where there are no labels yet."""
        return (f"group.{self.labels}",) if self.labels else ()

    def reads(self) -> tuple[str, ...]:
        """Return the column of labels, and for tailor that of who asked."""
        return (*self.column, *self.history)

    @property
    def history(self) -> tuple[str, ...]:
        """The column that says which rule asked; none where rules do not take turns, or none has asked yet."""
        return (f"group.{self.asked}",) if self.asked and self.rule == "tailor" else ()

    def with_groups(self, names: Collection[str]) -> Self:
        """Return it with the column of who asked, where rules take turns and the recipe has one of that name."""
        return self.model_copy(update={"asked": HISTORY}) if not self.asked and HISTORY in names else self

    def annotations(self) -> tuple[str, ...]:
        """Return that rows are to say which rule asked for them, where rules take turns."""
        return ("asked",) if self.rule == "tailor" else ()

    def plan(self, problem: SamplingProblem) -> DrawPlan:
        """Return a draw of the chosen rows. Raises RecipeError where labels, or unlabelled rows, are too few."""
        from evenkeel.tasks.sample.labelling.asking import Asking
        from evenkeel.tasks.sample.labelling.labelled import gather_labelled, require_classes
        from evenkeel.tasks.sample.labelling.leaves import outlying_leaves
        from evenkeel.tasks.sample.labelling.turns import take_turns

        labelled = gather_labelled(self.column, problem)
        sizes, level = problem.tree.sizes, self._leaves(problem)
        outlying = outlying_leaves(level.centroids, sizes, labelled.by_leaf, self.avoid_outliers)
        left = np.where(outlying, 0, sizes - labelled.by_leaf)
        if problem.target > left.sum():
            raise RecipeError(
                "there are fewer rows to label than the target asks for",
                expected=f"at most {int(left.sum()):,} rows without a label",
                found=f"{problem.target:,}",
                where="sampling.target",
                remedy="lower the target, or avoid_outliers",
            )
        facts: dict[str, object] = {
            "rule": self.rule,
            "labels": dict(zip(labelled.classes, labelled.counts.tolist(), strict=True)),
            "outlying_rows": int(sizes[outlying].sum()),
        }
        if self.rule == "clusters":
            return self._one_of_each(labelled, left, problem, facts)
        require_classes(labelled, self.rule, self.labels)
        asking = Asking.of(self, labelled, level.centroids, ~outlying, self.column[0], problem)
        beside = {}
        if self.rule == "tailor":
            taken = take_turns(asking, self.rules, "".join(self.history))
            row_ids, read, beside = taken.row_ids, taken.read, {ASKED: taken.table()}
            facts |= taken.facts
        else:
            row_ids, read = asking.rows(self.rule, problem.target)
        picks = Picks.of(row_ids, problem.folder, problem.scratch, problem.seed)
        facts |= {"read": read, "read_share": round(read / max(1, problem.tree.rows), 6)}
        rows = int((sizes - labelled.by_leaf).sum())
        unseen = Unseen(self.column, picks)
        plan = one_cell_plan(problem, rows, unseen, (*COLUMNS, *self.column), facts, draw="top", copies=1)
        return replace(plan, beside=beside)

    def _one_of_each(
        self, labelled: "Labelled", left: Int64Array, problem: SamplingProblem, facts: dict[str, object]
    ) -> DrawPlan:
        """Return a draw that raises the labelled rows of leaves evenly, large leaves first, nearest the centroid."""
        from evenkeel.tasks.sample.labelling.leaves import raised

        quotas = raised(labelled.by_leaf, left, problem.target)
        allocation = water_fill(quotas, problem.target)
        columns, unseen = ("distance", *COLUMNS, *self.column), Unseen(self.column, None)
        return DrawPlan(allocation, left, None, unseen, columns, draw="top", copies=1, facts=facts)

    def _leaves(self, problem: SamplingProblem) -> "Level":
        from evenkeel.tasks.cluster.hierarchy import Hierarchy

        return Hierarchy.open(problem.rows.clustering).levels[0]
