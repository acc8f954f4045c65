"""Choose the rows to label, block by block on the workers: each hands in its best of every class."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from evenkeel.infra.dtypes import BoolArray, Float32Array, Int64Array, UInt64Array
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.sample.blocks import SharedArray
from evenkeel.tasks.sample.candidates import CandidateRows, Columns
from evenkeel.tasks.sample.cells import join, rank_in_cell, take
from evenkeel.tasks.sample.labelling.labelled import is_labelled
from evenkeel.tasks.sample.labelling.model import LabelModel, uncertainty_of
from evenkeel.tasks.sample.labelling.options import Uncertainty
from evenkeel.tasks.sample.problem import SamplingProblem
from evenkeel.tasks.sample.quotas.allocation import water_fill

SEED = 0x746F_6C61
SPARE = 2  # times the target is kept of every class, since ranks inside a leaf shift when blocks are put together


class Found(NamedTuple):
    """Unlabelled rows, each once for every class that wants it, and how many vectors were read.

    rows: row_id; class, predicted class and leaf, int64; worth, float64, of which the largest are taken; unsure and
    hash, float64.
    """

    rows: Columns
    read: int


@dataclass(frozen=True)
class Unlabelled:
    """How the unlabelled rows of a block are read.

    column: of labels. looked_into: (leaves,) bool. taken: row ids that are left out, as those with a label are.
    """

    rows: CandidateRows
    column: str
    looked_into: BoolArray
    taken: UInt64Array | None = None

    def read(self, block: str) -> tuple[Columns, Float32Array]:
        """Return what is listed of the unlabelled rows in the leaves that are looked into, and their vectors."""
        found = self.listed(block)
        vectors = self.rows.vectors(block, found["row_id"]) if len(found["row_id"]) else np.empty((0, 1), np.float32)
        return found, vectors

    def listed(self, block: str) -> Columns:
        """Return row_id, leaf, hash and distance to the centroid of those rows."""
        table = self.rows.table(block, ["identity", self.column])
        leaf, row_id = table["leaf"].to_numpy().astype(np.int64), table["row_id"].to_numpy()
        asked = ~is_labelled(table[self.column]) & self.looked_into[leaf]
        if self.taken is not None:
            asked &= ~np.isin(row_id, self.taken)
        here = np.flatnonzero(asked)
        found: Columns = {"row_id": row_id[here], "leaf": leaf[here]}
        found["hash"] = uniform(SEED, table["identity"].to_numpy()[here])
        return {**found, "distance": table["distance"].to_numpy()[here].astype(np.float64)}


def near_anchors(
    unlabelled: Unlabelled,
    anchors: list[Float32Array],
    model: LabelModel,
    by: Uncertainty,
    each: int,
    problem: SamplingProblem,
) -> Found:
    """Return the `each` rows nearest to an anchor of every class, worth their nearness, with how unsure they are."""
    offer = partial(_like_anchors, unlabelled=unlabelled, anchors=anchors, model=model, by=by, each=each)
    return _reduced(offer, partial(_merged, keep=partial(_largest, each=each)), unlabelled, problem)


def by_prediction(unlabelled: Unlabelled, model: LabelModel, by: Uncertainty, problem: SamplingProblem) -> Found:
    """Return rows by predicted class, the least sure of every leaf in turn."""
    keep = partial(_in_turn, each=SPARE * problem.target)
    offer = partial(_predicted, unlabelled=unlabelled, model=model, by=by, keep=keep)
    return _reduced(offer, partial(_merged, keep=keep), unlabelled, problem)


def by_probability(unlabelled: Unlabelled, model: LabelModel, wanted: Int64Array, problem: SamplingProblem) -> Found:
    """Return the rows most probably of the classes of which rows are wanted; each row of one class."""
    keep = partial(_largest, each=problem.target)
    offer = partial(_probable, unlabelled=unlabelled, model=model, wanted=wanted, keep=keep)
    return _reduced(offer, partial(_merged, keep=keep), unlabelled, problem)


def by_chance(unlabelled: Unlabelled, problem: SamplingProblem) -> Found:
    """Return as many rows as are asked for, those with the largest hashes; reads no vectors."""
    keep = partial(_largest, each=problem.target)
    offer = partial(_listed, unlabelled=unlabelled, worth="hash", keep=keep)
    return _reduced(offer, partial(_merged, keep=keep), unlabelled, problem)


def nearest_of_leaves(unlabelled: Unlabelled, quotas: Int64Array, problem: SamplingProblem) -> Found:
    """Return as many rows of each leaf as its quota says, those nearest its centroid; reads no vectors."""
    keep = partial(_nearest, quotas=SharedArray.of(quotas, problem.folder, problem.scratch))
    offer = partial(_listed, unlabelled=unlabelled, worth="distance", keep=keep)
    return _reduced(offer, partial(_merged, keep=keep), unlabelled, problem)


def unsure_of_each_leaf(found: Columns, target: int) -> UInt64Array:
    """Return the rows that a model is least sure of, each once, as many of every leaf."""
    found = once(found)
    found = take(found, np.lexsort((found["hash"], -found["unsure"], found["leaf"])))
    order = np.lexsort((found["hash"], -found["unsure"], rank_in_cell(found["leaf"])))
    return np.asarray(found["row_id"][order][:target], np.uint64)


def of_classes(found: Columns, wanted: Int64Array, target: int, seed: int) -> UInt64Array:
    """Return rows of every class, as many as wanted where there are so many; the rest is shared by the others."""
    quotas = quotas_of(found["class"], wanted, target, seed)
    found = take(found, np.lexsort((found["hash"], -found["worth"], found["class"])))
    found = take(found, rank_in_cell(found["class"]) < quotas[found["class"]])
    return np.asarray(found["row_id"][np.argsort(-found["unsure"], kind="stable")], np.uint64)


def quotas_of(classes: Int64Array, wanted: Int64Array, target: int, seed: int) -> Int64Array:
    """Return how many of the rows, given the class of each, are chosen of every class, (classes,) int64."""
    there = np.bincount(classes, minlength=len(wanted)).astype(np.int64)
    first = np.minimum(there, wanted)
    return first + water_fill(there - first, target - int(first.sum()), seed=seed).quotas


def once(found: Columns) -> Columns:
    """Return each row once, by ascending id, as it comes first."""
    return take(found, np.unique(found["row_id"], return_index=True)[1])


def levelled(counts: Int64Array, rows: int) -> Int64Array:
    """Return how many of `rows` more each class gets so that the smallest counts rise evenly, (classes,) int64."""
    order = np.argsort(counts, kind="stable")
    ascending = counts[order]
    filled = np.arange(1, len(counts) + 1) * ascending - np.cumsum(ascending)
    classes = int(np.searchsorted(filled, rows, side="right"))
    level, rest = divmod(rows + int(ascending[:classes].sum()), classes)
    more = np.zeros(len(counts), np.int64)
    more[order[:classes]] = level - ascending[:classes]
    more[order[:rest]] += 1
    return more


def _reduced(
    offer: Callable[[str], Found],
    merge: Callable[[Found, Found], Found],
    unlabelled: Unlabelled,
    problem: SamplingProblem,
) -> Found:
    rows = unlabelled.rows
    found = problem.compute.reduce(offer, merge, rows.blocks, work=rows.pool.rows * 400)
    return found or Found(_nothing(), 0)


def _like_anchors(
    block: str, unlabelled: Unlabelled, anchors: list[Float32Array], model: LabelModel, by: Uncertainty, each: int
) -> Found:
    rows, x = unlabelled.read(block)
    if not len(x):
        return Found(_nothing(), 0)
    probabilities = model.probabilities(x)
    rows["unsure"], rows["predicted"] = uncertainty_of(probabilities, by), probabilities.argmax(axis=1)
    parts = []
    for number, others in enumerate(anchors):
        squared = (x**2).sum(axis=1)[:, None] - 2 * x @ others.T + (others**2).sum(axis=1)
        worth = {"class": np.full(len(x), number), "worth": -squared.min(axis=1).astype(np.float64)}
        parts.append(_largest({**rows, **worth}, each))
    return Found(join(parts), len(x))


def _predicted(
    block: str, unlabelled: Unlabelled, model: LabelModel, by: Uncertainty, keep: Callable[[Columns], Columns]
) -> Found:
    rows, x = unlabelled.read(block)
    if not len(x):
        return Found(_nothing(), 0)
    probabilities = model.probabilities(x)
    first, unsure = probabilities.argmax(axis=1), uncertainty_of(probabilities, by)
    return Found(keep({**rows, "class": first, "predicted": first, "worth": unsure, "unsure": unsure}), len(x))


def _probable(
    block: str, unlabelled: Unlabelled, model: LabelModel, wanted: Int64Array, keep: Callable[[Columns], Columns]
) -> Found:
    rows, x = unlabelled.read(block)
    if not len(x):
        return Found(_nothing(), 0)
    probabilities = np.where(wanted > 0, model.probabilities(x), -1.0)
    first, worth = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return Found(keep({**rows, "class": first, "predicted": first, "worth": worth, "unsure": worth}), len(x))


def _listed(block: str, unlabelled: Unlabelled, worth: str, keep: Callable[[Columns], Columns]) -> Found:
    """Return the rows of a block that are kept by a number of theirs, all of one class."""
    rows = unlabelled.listed(block)
    one = np.zeros(len(rows["row_id"]), np.int64)
    number = -rows[worth] if worth == "distance" else rows[worth]
    return Found(keep({**rows, "class": one, "predicted": one, "worth": number, "unsure": number}), 0)


def _nearest(found: Columns, quotas: SharedArray) -> Columns:
    """Return the rows of every leaf nearest its centroid, as many as its quota."""
    found = take(found, np.lexsort((found["hash"], -found["worth"], found["leaf"])))
    return take(found, rank_in_cell(found["leaf"]) < quotas.read()[found["leaf"]])


def _largest(found: Columns, each: int) -> Columns:
    """Return the rows of every class with the largest worth."""
    found = take(found, np.lexsort((found["hash"], -found["worth"], found["class"])))
    return take(found, rank_in_cell(found["class"]) < each)


def _in_turn(found: Columns, each: int) -> Columns:
    """Return rows of every class, those that come first in their leaf before those that come second."""
    found = take(found, np.lexsort((found["hash"], -found["unsure"], found["leaf"], found["class"])))
    cell = _cells(found["class"], found["leaf"])
    return _largest({**found, "worth": found["unsure"] - rank_in_cell(cell)}, each)


def _merged(one: Found, other: Found, keep: Callable[[Columns], Columns]) -> Found:
    return Found(keep(join([one.rows, other.rows])), one.read + other.read)


def _cells(*columns: Int64Array) -> Int64Array:
    """Return one number for each combination of values of the columns, (n,) int64."""
    return np.asarray(np.unique(np.stack(columns), axis=1, return_inverse=True)[1], np.int64).ravel()


def _nothing() -> Columns:
    whole = {"row_id": np.empty(0, np.uint64), **dict.fromkeys(("class", "leaf", "predicted"), np.empty(0, np.int64))}
    return {**whole, **dict.fromkeys(("worth", "unsure", "hash", "distance"), np.empty(0))}
