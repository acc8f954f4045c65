"""Ask by one rule or another for rows of the same pool: what is labelled and the model of it are found once."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float32Array, Int64Array, UInt64Array
from evenkeel.tasks.sample.candidates import Columns
from evenkeel.tasks.sample.labelling import choose
from evenkeel.tasks.sample.labelling.labelled import Labelled
from evenkeel.tasks.sample.labelling.leaves import anchors_of, near_leaves, raised
from evenkeel.tasks.sample.labelling.model import LabelModel, fit_labels
from evenkeel.tasks.sample.labelling.options import OneRule, Per, Uncertainty
from evenkeel.tasks.sample.labelling.spread import spread
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import water_fill

AT_LEAST, POOL = 50, 40
BY_CHANCE = 5  # one row of so many


class Options(Protocol):
    """The options of the strategy that rules read."""

    uncertainty: Uncertainty
    anchors: int
    pool: int
    per: Per


@dataclass(frozen=True)
class Asking:
    """What every rule asks with. allowed: (leaves,) bool, those whose rows may be asked for. column: of labels."""

    options: Options
    labelled: Labelled
    model: LabelModel
    centroids: Float32Array
    allowed: BoolArray
    column: str
    problem: SamplingProblem

    @classmethod
    def of(
        cls,
        options: Options,
        labelled: Labelled,
        centroids: Float32Array,
        allowed: BoolArray,
        column: str,
        problem: SamplingProblem,
    ) -> "Asking":
        """Return it with a model of the labels, of which there are two classes or more."""
        model = fit_labels(labelled.vectors, labelled.labels, len(labelled.classes))
        return cls(options, labelled, model, centroids, allowed, column, problem)

    def rows(self, rule: OneRule, target: int, taken: UInt64Array | None = None) -> tuple[UInt64Array, int]:
        """Return `target` row ids in the order of choice (fewer where a rule finds no more), and the vectors read.

        taken: rows that are not asked for again, ascending.
        """
        problem, labelled, by = replace(self.problem, target=target), self.labelled, self.options.uncertainty
        unlabelled = choose.Unlabelled(problem.rows, self.column, self.allowed, taken)
        classes = len(labelled.classes)
        if rule == "anchors":
            return self._near_anchors(unlabelled, problem)
        if rule == "random":
            found = choose.by_chance(unlabelled, problem)
            return found.rows["row_id"], found.read
        if rule == "clusters":
            left = np.where(self.allowed, self._unlabelled_sizes(), 0)
            found = choose.nearest_of_leaves(unlabelled, raised(labelled.by_leaf, left, target), problem)
            return found.rows["row_id"], found.read
        if rule == "balanced":
            found = choose.by_prediction(unlabelled, self.model, by, problem)
            wanted = water_fill(np.full(classes, target), target, seed=problem.seed).quotas
        else:
            wanted = choose.levelled(labelled.counts, target)
            found = choose.by_probability(unlabelled, self.model, wanted, problem)
        return choose.of_classes(found.rows, wanted, target, problem.seed), found.read

    def _near_anchors(self, unlabelled: "choose.Unlabelled", problem: SamplingProblem) -> tuple[UInt64Array, int]:
        """Return rows near the anchors, the last fifth of them by chance where the batch is even over classes.

        A model that is taught by rows it is unsure of alone takes what it is sure of for rare or frequent wrongly.
        """
        classes, target, options = len(self.labelled.classes), problem.target, self.options
        each = options.pool or max(AT_LEAST, -(-POOL * target // classes))
        anchors = anchors_of(self.labelled, options.anchors)
        near = near_leaves(anchors, self.centroids, self._unlabelled_sizes(), each + each // 2)
        looked_into = replace(unlabelled, looked_into=self.allowed & near)
        found = choose.near_anchors(looked_into, anchors, self.model, options.uncertainty, each, problem)
        if options.per == "cluster":
            return choose.unsure_of_each_leaf(found.rows, target), found.read
        first = self._spread(found.rows, target - target // BY_CHANCE)
        rest = replace(problem, target=target - len(first))
        taken = np.sort(first if unlabelled.taken is None else np.concatenate([first, unlabelled.taken]))
        chance = choose.by_chance(replace(unlabelled, taken=taken), rest).rows["row_id"] if rest.target else first[:0]
        return np.concatenate([first, chance.astype(np.uint64)]), found.read

    def _spread(self, found: Columns, target: int) -> UInt64Array:
        """Return rows the model is unsure of that are far from one another, as many of every predicted class."""
        classes, seed, found = len(self.labelled.classes), self.problem.seed, choose.once(found)
        wanted = water_fill(np.full(classes, target), target, seed=seed).quotas
        quotas = choose.quotas_of(found["predicted"], wanted, target, seed)
        worth = spread(found, quotas, self.labelled, self.problem)
        return choose.of_classes({**worth, "class": found["predicted"]}, wanted, target, seed)

    def _unlabelled_sizes(self) -> Int64Array:
        return np.asarray(self.problem.tree.sizes - self.labelled.by_leaf, np.int64)
