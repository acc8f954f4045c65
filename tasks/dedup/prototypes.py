"""Prototypes: the rows nearest the centroid of their cell, of which a dataset needs few.

The second half of D4 (Tirumala et al. 2023, arXiv 2308.12284; after Sorscher et al. 2022, arXiv 2206.14486): cluster
once more what semantic deduplication left, and drop a share of it, the rows nearest their centroid first.
"""

from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from evenkeel.infra.dtypes import Float32Array, UInt64Array
from evenkeel.tasks.dedup.cells import Cells, make_cells, most_similar
from evenkeel.tasks.dedup.config import SemanticConfig
from evenkeel.tasks.dedup.device_cells import most_similar_on_device
from evenkeel.tasks.dedup.drops import SEMANTIC, Drops
from evenkeel.tasks.dedup.gathered import gather, members_of, open_batch
from evenkeel.tasks.dedup.stage import Stage
from evenkeel.tasks.embed.device import worker_device
from evenkeel.tasks.kmeans.options import Device
from evenkeel.tasks.step import Run

LEFT_PER_BLOCK = 4096


def drop_prototypes(stage: Stage, config: SemanticConfig, run: Run) -> Drops:
    """Return the `config.prototypes` share of rows nearest their centroid, each with its nearest kept row in the cell.

    The row furthest from the centroid of its cell is never dropped, so that every cell keeps a row.
    """
    with threadpool_limits(1):
        cells = gather(make_cells(stage, config, run), run)
        parts = run.compute.map(partial(_centralities, cells), cells.batches())
        central = np.sort(np.concatenate([np.empty(0, np.float32), *parts]))[::-1]
        wanted = int(config.prototypes * sum(cells.sizes))
        if not wanted:
            return Drops.none()
        work = stage.pool.rows * stage.vectors.dimension * 4
        drop = partial(_drop, cells, central[wanted - 1], worker_device(run.compute))
        dropped = run.compute.map(drop, cells.batches(), work=work)
    return Drops.gathered(dropped, SEMANTIC)


def _centralities(cells: Cells, batch: tuple[int, int]) -> Float32Array:
    """Return the similarity of every row of some cells to its centroid, without the smallest of each cell."""
    members = members_of(cells, batch)
    members = members[np.lexsort((members["row_id"], members["centrality"], members["cell"]))]
    found: Float32Array = members["centrality"][np.diff(members["cell"], prepend=-1) == 0]
    return found


def _drop(
    cells: Cells, threshold: np.float32, device: Device, batch: tuple[int, int]
) -> tuple[UInt64Array, UInt64Array, Float32Array]:
    """Return the rows of some cells that are at least as near their centroid, and their representatives."""
    opened = open_batch(cells, batch)
    members = opened.members[np.lexsort([opened.members[name] for name in ("row_id", "centrality", "cell")])]
    spared = np.diff(members["cell"], prepend=-1) != 0
    gone = (members["centrality"] >= threshold) & ~spared
    ids, representatives, similarity = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)], [np.empty(0, np.float32)]
    find = most_similar_on_device if device.gpu else most_similar
    for cell in np.unique(members["cell"][gone]):
        mine = members["cell"] == cell
        lost, left = members[mine & gone], members[mine & ~gone]
        blocks = (opened.rows(left[first : first + LEFT_PER_BLOCK]) for first in range(0, len(left), LEFT_PER_BLOCK))
        nearest, closeness = find(opened.rows(lost), blocks)
        ids.append(lost["row_id"])
        representatives.append(left["row_id"][nearest])
        similarity.append(np.clip(closeness, 0, 1))
    return np.concatenate(ids), np.concatenate(representatives), np.concatenate(similarity)
