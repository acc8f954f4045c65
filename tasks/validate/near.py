"""Count near-duplicates in the version: kept rows that nearly repeat another kept row of their cluster."""

from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.sparse import csr_array, triu

from evenkeel.infra.dtypes import Float32Array, Int64Array, UInt32Array, UInt64Array
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.config import NearConfig
from evenkeel.tasks.dedup.minhash import Sketches, similarities, sketches
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import Run
from evenkeel.tasks.validate.locate import Located, for_located

ROWS_PER_CLUSTER = 512
CHARACTERS = 4096


def near_duplicates_left(
    sample: StepRef, embed: StepRef, pool: Pool, rows: int, thresholds: tuple[float, float], run: Run
) -> "pd.Series[float] | None":
    """Return the share of rows with a near-duplicate in the version, by leaf; None where it cannot be measured.

    Whole clusters are compared, every j-th so that about `rows` kept rows are read; of a large cluster the first 512
    rows. Two texts are near-duplicates where deduplication would call them so (`tasks/dedup/minhash.py`): the Jaccard
    similarity of their word 3-grams is `jaccard` or more. Only the first 4,096 characters are read. Where the pool has
    no texts, two rows are near-duplicates when the cosine of their vectors is `cosine` or more. Workers read the rows.

    thresholds: `jaccard` and `cosine`.
    """
    jaccard, cosine = thresholds
    if not rows:
        return None
    selected = Selection.open(sample).table()
    leaf, row_id = selected["leaf"].to_numpy(), selected["row_id"].to_numpy()
    picked = leaf % max(1, -(-len(leaf) // rows)) == 0
    leaf, row_id = leaf[picked], row_id[picked]
    if not len(leaf):
        return None
    order = np.argsort(leaf, kind="stable")
    leaves, first = np.unique(leaf[order], return_index=True)
    members = [part[:ROWS_PER_CLUSTER] for part in np.split(order, first[1:])]
    if pool.has_text:
        read = _read_sketches(pool, row_id, NearConfig(threshold=jaccard, max_characters=CHARACTERS), run)
        rates = [share_similar(read, part, jaccard) for part in members]
    else:
        vectors = _read_vectors(embed, pool, row_id, run)
        rates = [_share_close(vectors[part], cosine) for part in members]
    return pd.Series(rates, index=leaves, dtype=np.float64)


def _read_sketches(pool: Pool, row_ids: UInt64Array, config: NearConfig, run: Run) -> Sketches:
    """Return the sketches of the texts of some rows (ascending ids)."""
    work = sum(shard.bytes for shard in pool.shards)
    parts = for_located(partial(_sketches_of_block, pool, config), pool, row_ids, run.compute, work)
    parts.sort(key=lambda part: part[0])
    sizes = [np.diff(offsets) for _, _, offsets in parts]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    return Sketches(np.concatenate([flat for _, flat, _ in parts]), offsets)


def _sketches_of_block(pool: Pool, config: NearConfig, located: Located) -> tuple[int, UInt32Array, Int64Array]:
    """Return the first id of some rows of a block, and the sketches of their texts."""
    block, row_ids, places = located
    found = sketches(pool.text(block).take(pa.array(places)), config)
    return int(row_ids[0]), found.hashes, found.offsets


def share_similar(sketches: Sketches, rows: Int64Array, threshold: float) -> float:
    """Return the share of some rows that have another of them at a Jaccard similarity of `threshold` or more."""
    flat, offsets = sketches
    sizes = np.diff(offsets)[rows]
    held = np.concatenate([flat[offsets[row] : offsets[row + 1]] for row in rows])
    hashes, columns = np.unique(held, return_inverse=True)
    shape = (len(rows), len(hashes))
    table = csr_array((np.ones(len(columns), np.int32), columns, np.concatenate([[0], np.cumsum(sizes)])), shape=shape)
    shared = triu(table @ table.T, k=1).tocoo()
    # Both sketches hold every hash that counts as shared, so their sizes bound the similarity.
    possible = shared.data >= threshold * np.maximum(sizes[shared.row], sizes[shared.col]) - 1e-3
    left, right = shared.row[possible].astype(np.int64), shared.col[possible].astype(np.int64)
    found = np.empty(len(left), np.float32)
    similarities(sketches, rows[left], sketches, rows[right], found)
    similar = np.zeros(len(rows), bool)
    similar[left[found >= threshold]] = similar[right[found >= threshold]] = True
    return float(similar.mean())


def _read_vectors(embed: StepRef, pool: Pool, row_ids: UInt64Array, run: Run) -> Float32Array:
    """Return the vectors of some rows (ascending ids), (n, d) float32, each of length 1."""
    vectors = Vectors.open(embed, run.scratch)
    found = np.zeros((len(row_ids), vectors.dimension), np.float32)
    work = vectors.dimension * vectors.dtype.itemsize * pool.rows
    for here, part in for_located(partial(_vectors_of_block, vectors), pool, row_ids, run.compute, work):
        found[np.searchsorted(row_ids, here)] = part
    unit: Float32Array = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return unit


def _vectors_of_block(vectors: Vectors, located: Located) -> tuple[UInt64Array, Float32Array]:
    """Return the ids of some rows of a block, and their vectors, (n, d) float32."""
    block, row_ids, places = located
    return row_ids, np.asarray(vectors.block(block.name)[places], np.float32)


def _share_close(vectors: Float32Array, cosine: float) -> float:
    """Return the share of vectors (n, d) of length 1 that have another one at `cosine` or more."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    return float((similarity.max(axis=1) >= cosine).mean())
