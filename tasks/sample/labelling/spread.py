"""Spread a batch over what a model is unsure of: each row is unsure, and far from what is labelled or chosen."""

from functools import partial

import numpy as np

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int64Array, UInt64Array
from evenkeel.tasks.ingest.pool import blocks_of
from evenkeel.tasks.sample.candidates import CandidateRows, Columns
from evenkeel.tasks.sample.cells import rank_in_cell, take
from evenkeel.tasks.sample.labelling.labelled import Labelled
from evenkeel.tasks.sample.problem import SamplingProblem

COMPARED = 20_000
AT_ONCE = 1 << 22


def spread(found: Columns, quotas: Int64Array, labelled: Labelled, problem: SamplingProblem) -> Columns:
    """Return rows with what they are worth: those to choose first more than 1, all others how unsure a model is.

    found: row_id ascending, predicted and unsure. quotas: (classes,) int64, rows to choose of each predicted class. In
    each class the row is next whose square root of unsureness times squared distance to the nearest labelled or chosen
    row of the class is largest: farthest-point traversal, weighted. The least sure 20,000 rows are compared.
    """
    order = np.lexsort((found["hash"], -found["unsure"], found["predicted"]))
    most = max(1, COMPARED // len(quotas))
    compared = np.sort(order[rank_in_cell(found["predicted"][order]) < most])
    near, worth = take(found, compared), found["unsure"].astype(np.float64)
    vectors = _vectors(near["row_id"], problem)
    for number, quota in enumerate(quotas):
        here = np.flatnonzero(near["predicted"] == number)
        first = _farthest(vectors[here], near["unsure"][here], labelled.vectors[labelled.labels == number], int(quota))
        worth[compared[here[first]]] = 2.0 - np.arange(len(first)) / max(len(first), 1)
    return {**found, "worth": worth}


def _farthest(x: Float32Array, unsure: Float64Array, known: Float32Array, wanted: int) -> Int64Array:
    """Return the positions of up to `wanted` rows of (n, d), in the order of choice."""
    chosen = np.zeros(min(wanted, len(x)), np.int64)
    if not len(chosen):
        return chosen
    weights, nearest = np.sqrt(unsure), _to_nearest(x, known)
    for place in range(len(chosen)):
        chosen[place] = np.where(nearest < 0, -1.0, weights * nearest).argmax()
        difference = x - x[chosen[place]]
        nearest = np.minimum(nearest, np.einsum("nd,nd->n", difference, difference))
        nearest[chosen[: place + 1]] = -1.0
    return chosen


def _to_nearest(x: Float32Array, known: Float32Array) -> Float64Array:
    """Return the squared distance of each row of (n, d) to the nearest of (m, d), (n,) float64; all 1 without any."""
    nearest = np.full(len(x), np.inf)
    for start in range(0, len(known), step := max(1, AT_ONCE // max(len(x), 1))):
        some = known[start : start + step].astype(np.float64)
        squared = (x.astype(np.float64) ** 2).sum(axis=1)[:, None] - 2 * x @ some.T + (some**2).sum(axis=1)
        nearest = np.minimum(nearest, np.maximum(squared.min(axis=1), 0.0))
    return nearest if len(known) else np.ones(len(x))


def _vectors(row_ids: UInt64Array, problem: SamplingProblem) -> Float32Array:
    """Return the vectors of rows of the pool, given ascending ids, (n, d) float32."""
    if not len(row_ids):
        return np.empty((0, 1), np.float32)
    blocks = [block.name for block in blocks_of(problem.rows.pool, row_ids)]
    read = partial(_of_block, rows=problem.rows, row_ids=row_ids)
    return np.concatenate(problem.compute.map(read, blocks, work=len(row_ids) * 4_000))


def _of_block(block: str, rows: CandidateRows, row_ids: UInt64Array) -> Float32Array:
    here = np.intersect1d(rows.ids(block), row_ids, assume_unique=True)
    return rows.vectors(block, here)
