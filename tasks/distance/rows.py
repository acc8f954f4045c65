"""Sum up the rows of sets over the blocks of a pool, on the workers."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Int64Array, UInt64Array
from evenkeel.tasks.distance.space import Features, Space
from evenkeel.tasks.distance.sums import SetSums
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.step import Run

ROWS_PER_CHUNK = 8192
MOST_ROWS = 1 << 15
SAMPLE_SEED = 0x6368_7572_6E  # that of the sketches by which churn is measured, so that both know the same rows

Weigh = Callable[[str, pa.Table], Int64Array]
"""Copies of the rows of a block in every set, (n, k) int64, given its name and row_id, leaf, identity and columns."""


def sum_rows(
    rows: CandidateRows,
    vectors: Vectors,
    weigh: Weigh,
    sets: int,
    space: Space,
    folder: str,
    run: Run,
    *,
    columns: Sequence[str] = (),
    signed: int = 0,
) -> SetSums:
    """Return the sums over the rows of some sets of a clustered pool. folder: for what workers read, removed after.

    weigh: a module-level function, or a partial or small object of one. One block's rows of the sets are in memory.
    """
    space.write(folder)
    with threadpool_limits(1):  # blocks run side by side, and the number of BLAS threads would show in the last bits
        found = run.compute.reduce(
            partial(_block_sums, rows, vectors, weigh, ("identity", *columns), sets, signed, folder, run.scratch),
            SetSums.add,
            rows.blocks,
            work=rows.pool.rows * vectors.dimension * 4,
        )
    storage.remove(folder)
    return SetSums.zero(sets, signed, space.axes.shape[1]) if found is None else found


def _block_sums(
    rows: CandidateRows,
    vectors: Vectors,
    weigh: Weigh,
    columns: Sequence[str],
    sets: int,
    signed: int,
    folder: str,
    scratch: Path,
    block: str,
) -> SetSums:
    features = Features.read(folder, scratch)
    table = rows.table(block, columns)
    total = SetSums.zero(sets, signed, features.axes.shape[1])
    if not table.num_rows:
        return total
    copies = weigh(block, table)
    used = np.flatnonzero(copies.any(axis=1))
    copies = copies[used]
    identity: UInt64Array = table["identity"].to_numpy()[used]
    place = np.searchsorted(rows.pool.table(block, ["row_id"])["row_id"].to_numpy(), table["row_id"].to_numpy()[used])
    stored = vectors.block(block)
    for start in range(0, len(place), ROWS_PER_CHUNK):
        part = slice(start, start + ROWS_PER_CHUNK)
        x = np.asarray(stored[place[part]], np.float32)
        total = total.add(SetSums.of(*features(x), copies[part], identity[part], signed))
    return total
