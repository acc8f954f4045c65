"""Prototypes: the rows nearest the middle of their cell, of which a set needs few.

The second half of D4 (Tirumala et al. 2023, arXiv 2308.12284; after Sorscher et al. 2022, arXiv 2206.14486): cluster
once more what semantic deduplication left, and drop a share of it, the rows nearest their centroid first.
"""

from functools import partial

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.dedup.cells import Cells, Floats, make_cells
from evenkeel.tasks.dedup.config import SemanticConfig
from evenkeel.tasks.dedup.drops import SEMANTIC, Drops
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.step import Run

KEPT_BLOCK = 4096


def drop_prototypes(
    pool: Pool,
    vectors: Vectors,
    config: SemanticConfig,
    best: str | None,
    before: Duplicates,
    folder: str,
    run: Run,
) -> Drops:
    """Return the `config.prototypes` share of rows nearest their centroid, each with its nearest kept row in the cell.

    The row furthest from the centroid of its cell is never dropped, so that every cell keeps someone.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        cells = make_cells(pool, vectors, config, best, before, folder, run)
        parts = run.compute.map(partial(_centralities, cells), cells.batches())
        central = np.sort(np.concatenate([np.empty(0, np.float32), *parts]))[::-1]
        wanted = int(config.prototypes * sum(cells.sizes))
        if not wanted:
            return Drops.none()
        work = pool.rows * vectors.dimension * 4
        dropped = run.compute.map(partial(_drop, cells, central[wanted - 1]), cells.batches(), work=work)
    return Drops.gathered(dropped, SEMANTIC)


def _centralities(cells: Cells, batch: tuple[int, int]) -> Floats:
    """Return the similarity of every row of some cells to its centroid, all but the least of each cell."""
    members = cells.members(*batch)
    members = members[np.lexsort((members["row_id"], members["centrality"], members["cell"]))]
    found: Floats = members["centrality"][np.diff(members["cell"], prepend=-1) == 0]
    return found


def _drop(
    cells: Cells, least: np.float32, batch: tuple[int, int]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], Floats]:
    members = cells.members(*batch)
    members = members[np.lexsort((members["row_id"], members["centrality"], members["cell"]))]
    spared = np.diff(members["cell"], prepend=-1) != 0
    gone = (members["centrality"] >= least) & ~spared
    ids, stands, similarity = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)], [np.empty(0, np.float32)]
    for cell in np.unique(members["cell"][gone]):
        mine = members["cell"] == cell
        lost, left = members[mine & gone], members[mine & ~gone]
        nearest, alike = np.zeros(len(lost), np.int64), np.full(len(lost), -2, np.float32)
        for first in range(0, len(left), KEPT_BLOCK):
            scores = cells.rows(lost) @ cells.rows(left[first : first + KEPT_BLOCK]).T
            best = scores.argmax(axis=1)
            closer = scores[np.arange(len(lost)), best]
            nearest = np.where(closer > alike, first + best, nearest)
            alike = np.maximum(alike, closer)
        ids.append(lost["row_id"])
        stands.append(left["row_id"][nearest])
        similarity.append(np.clip(alike, 0, 1))
    return np.concatenate(ids), np.concatenate(stands), np.concatenate(similarity)
