"""How many near-duplicates the version still holds: rows that lie beside another kept row of the same cluster."""

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import xxhash

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection

ROWS_PER_CLUSTER = 512
SHINGLE, CHARACTERS = 3, 4096
WORD = re.compile(r"\w+")
Hashes = npt.NDArray[np.uint64]


def near_duplicates_left(
    inputs: Mapping[str, StepRef], pool: Pool, scratch: str, rows: int, jaccard: float, cosine: float
) -> "pd.Series[float] | None":
    """Return the share of rows with a near-duplicate in the version, by leaf; None where it cannot be measured.

    Whole clusters are looked at, every j-th so that about `rows` kept rows are read; of a large cluster the first 512
    rows. Two texts are near-duplicates where the sets of their three-word runs have a Jaccard similarity of `jaccard`
    or more; where the pool has no texts, two vectors are from `cosine` on.
    """
    if "sample" not in inputs or not rows or not (pool.has_text or "embed" in inputs):
        return None
    selected = Selection.open(inputs["sample"]).table()
    leaf, row_id = selected["leaf"].to_numpy(), selected["row_id"].to_numpy()
    picked = leaf % max(1, -(-len(leaf) // rows)) == 0
    leaf, row_id = leaf[picked], row_id[picked]
    if not len(leaf):
        return None
    order = np.argsort(leaf, kind="stable")
    leaves, first = np.unique(leaf[order], return_index=True)
    members = [part[:ROWS_PER_CLUSTER] for part in np.split(order, first[1:])]
    if pool.has_text:
        shingles = _read_shingles(pool, row_id)
        rates = [_alike(_jaccard([shingles[i] for i in part]), jaccard) for part in members]
    else:
        vectors = _read_vectors(inputs["embed"], pool, scratch, row_id)
        rates = [_alike(vectors[part] @ vectors[part].T, cosine) for part in members]
    return pd.Series(rates, index=leaves, dtype=np.float64)


def shingles_of(text: str) -> Hashes:
    """Return the distinct hashes of the three-word runs of a text, ascending uint64; a shorter text is one run."""
    words = WORD.findall(text[:CHARACTERS].lower())
    runs = [" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))]
    return np.unique(
        np.array([xxhash.xxh3_64_intdigest(run.encode("utf-8", "replace")) for run in runs], dtype=np.uint64)
    )


def _read_shingles(pool: Pool, row_ids: Hashes) -> list[Hashes]:
    found: list[Hashes] = [np.empty(0, np.uint64)] * len(row_ids)
    for block in pool.blocks:
        held = pool.table(block, ["row_id"])["row_id"].to_numpy()
        start, stop = np.searchsorted(row_ids, [held[0], held[-1] + np.uint64(1)])
        if start < stop:
            texts = pool.text(block).take(pa.array(np.searchsorted(held, row_ids[start:stop])))
            found[start:stop] = [shingles_of(text) for text in texts.to_pylist()]
    return found


def _jaccard(sets: list[Hashes]) -> npt.NDArray[np.float64]:
    """Return the Jaccard similarity of every two sets, (n, n) float64."""
    from scipy.sparse import csr_array

    sizes = np.array([len(one) for one in sets])
    _, columns = np.unique(np.concatenate(sets), return_inverse=True)
    shape = (len(sets), int(columns.max()) + 1)
    table = csr_array((np.ones(len(columns)), columns, np.concatenate([[0], np.cumsum(sizes)])), shape=shape)
    common = (table @ table.T).toarray()
    similarity: npt.NDArray[np.float64] = common / (sizes[:, None] + sizes[None, :] - common)
    return similarity


def _read_vectors(embed: StepRef, pool: Pool, scratch: str, row_ids: Hashes) -> npt.NDArray[np.float32]:
    """Return the vectors of some rows (ascending ids), (n, d) float32, each of length 1."""
    vectors = Vectors.open(embed, scratch)
    found = np.zeros((len(row_ids), vectors.dimension), np.float32)
    for block in pool.blocks:
        held = pool.table(block, ["row_id"])["row_id"].to_numpy()
        start, stop = np.searchsorted(row_ids, [held[0], held[-1] + np.uint64(1)])
        if start < stop:
            found[start:stop] = vectors.block(block.name)[np.searchsorted(held, row_ids[start:stop])]
    unit: npt.NDArray[np.float32] = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return unit


def _alike(similarity: npt.NDArray[np.floating], least: float) -> float:
    """Return the share of rows of a similarity matrix (n, n) that have another row from `least` on."""
    np.fill_diagonal(similarity, -1)
    return float((similarity.max(axis=1) >= least).mean())
