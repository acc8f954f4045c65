"""How many near-duplicates the version still holds: rows that lie beside another kept row of the same cluster."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from infra.workspace import StepRef
from tasks.embed.vectors import Vectors
from tasks.ingest.pool import Pool
from tasks.sample.selection import Selection

ROWS_PER_CLUSTER = 512


def near_duplicates_left(
    inputs: Mapping[str, StepRef], pool: Pool, scratch: str, similarity: float, rows: int
) -> pd.Series | None:
    """Return the share of rows with a near-duplicate in the version, by leaf; None where it cannot be measured.

    Whole clusters are looked at, every j-th so that about `rows` kept rows are read; of a large cluster the first 512
    rows. Two rows are near-duplicates where the cosine of their vectors reaches `similarity`.
    """
    if "sample" not in inputs or "embed" not in inputs or not rows:
        return None
    selected = Selection.open(inputs["sample"]).table()
    leaf, row_id = selected["leaf"].to_numpy(), selected["row_id"].to_numpy()
    every = max(1, -(-len(leaf) // rows))
    picked = leaf % every == 0
    leaf, row_id = leaf[picked], row_id[picked]
    vectors = _read(inputs["embed"], pool, scratch, row_id)
    order = np.argsort(leaf, kind="stable")
    leaves, first = np.unique(leaf[order], return_index=True)
    rates = [_rate(vectors[part[:ROWS_PER_CLUSTER]], similarity) for part in np.split(order, first[1:]) if len(leaves)]
    return pd.Series(rates[: len(leaves)], index=leaves, dtype=np.float64)


def _read(embed: StepRef, pool: Pool, scratch: str, row_ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.float32]:
    """Return the vectors of some rows (ascending ids), (n, d) float32, each of length 1."""
    vectors = Vectors.open(embed, scratch)
    found = np.zeros((len(row_ids), vectors.dimension), np.float32)
    for block in pool.blocks:
        held = pool.table(block, ["row_id"])["row_id"].to_numpy()
        start, stop = np.searchsorted(row_ids, [held[0], held[-1] + np.uint64(1)])
        if start < stop:
            found[start:stop] = vectors.block(block.name)[np.searchsorted(held, row_ids[start:stop])]
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = found / np.maximum(lengths, 1e-12)
    return unit


def _rate(vectors: npt.NDArray[np.float32], similarity: float) -> float:
    if len(vectors) < 2:
        return 0.0
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    return float((cosines.max(axis=1) >= similarity).mean())
