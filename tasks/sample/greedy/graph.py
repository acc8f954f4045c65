"""The graph of tags that mean nearly the same: tags whose rows have nearly the same mean vector.

Source: MIG (arXiv 2504.13835) propagates the information of a row along a graph of labels that are similar.
"""

from functools import partial

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import write_array
from evenkeel.infra.dtypes import Float32Array, Float64Array
from evenkeel.tasks.embed.post import normalise
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.greedy.features import FeatureSpace
from evenkeel.tasks.sample.problem import SamplingProblem

MAX_TAGS, MAX_EDGES = 20_000, 32


def write_graph(space: FeatureSpace, similarity: float, problem: SamplingProblem, folder: str) -> str:
    """Write by which shares the mass of a tag spreads, as `spread_masses` reads it; return the URI, "" without edges.

    similarity: the cosine of mean vectors from which two tags are joined. Of each column the 20,000 most frequent tags
    are looked at, and of a tag its 32 nearest.
    """
    edges = []
    for column, first, last in zip(space.columns, space.first, space.first[1:], strict=False):
        if column in space.tables and last > first:
            among = min(last - first, MAX_TAGS)
            found = similar_tags(mean_vectors(space, column, among, problem), similarity)
            edges.append(found + np.array([first, first, 0.0]))
    joined = np.concatenate([np.empty((0, 3)), *edges])
    if len(joined) == len(np.unique(joined[:, 0])):
        return ""
    uri = storage.join(folder, "graph.npy")
    write_array(uri, joined)
    return uri


def mean_vectors(space: FeatureSpace, column: str, tags: int, problem: SamplingProblem) -> Float32Array:
    """Return the sum of the unit vectors of the rows of each of the first tags of a column, (tags, d) float32."""
    rows = problem.rows
    add = partial(_sum_block, rows=rows, space=space, column=column, tags=tags)
    found = problem.compute.reduce(add, np.add, rows.blocks, work=rows.pool.rows * 400)
    assert found is not None
    return np.asarray(found, np.float32)


def similar_tags(means: Float32Array, similarity: float) -> Float64Array:
    """Return (m, 3) of from, to and share: cosines from `similarity` on, each tag's to itself too, adding up to 1."""
    unit, found = normalise(means), []
    for start in range(0, len(unit), 1024):
        cosines = unit[start : start + 1024] @ unit.T
        own = np.arange(start, start + len(cosines))
        cosines[np.arange(len(cosines)), own] = 1.0
        if cosines.shape[1] > MAX_EDGES:
            least = np.partition(cosines, -MAX_EDGES, axis=1)[:, -MAX_EDGES]
            cosines[cosines < least[:, None]] = 0.0
        row, other = np.nonzero(cosines >= similarity)
        weight = cosines[row, other].astype(np.float64)
        share = weight / np.bincount(row, weight, len(cosines))[row]
        found.append(np.stack([own[row].astype(np.float64), other.astype(np.float64), share], axis=1))
    return np.concatenate([np.empty((0, 3)), *found])


def _sum_block(block: str, rows: CandidateRows, space: FeatureSpace, column: str, tags: int) -> Float64Array:
    from scipy import sparse

    table = rows.table(block, [column])
    row, code = space.of_column(table[column], column)
    row, code = row[code < tags], code[code < tags]
    held = sparse.csr_array((np.ones(len(row)), (code, row)), shape=(tags, table.num_rows))
    return np.asarray(held @ normalise(rows.vectors(block, table["row_id"].to_numpy())).astype(np.float64))
