"""A sample of the rows of a pool that depends on their ids alone, not on blocks, order or workers."""

from functools import partial

import numpy as np

from evenkeel.infra.dtypes import Array, Float32Array
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.signal.groups import read_groups
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run

CHOSEN = np.dtype([("group", "<i4"), ("block", "<i4"), ("row", "<u4"), ("hash", "<f8")])


def sample_rows(source: SignalSource, folder: str, size: int, seed: int, run: Run) -> Array:
    """Return about `size` rows of every group in a folder (all of a smaller one), sorted by group and hash of the id.

    Each is (group, block, row in it, hash); a row is chosen where its hash is below the share of its group.
    """
    choose = partial(_choose, source, folder, size, seed)
    parts = run.compute.map(choose, range(len(source.blocks)), work=source.pool.rows * 16)
    chosen = np.concatenate([np.empty(0, CHOSEN), *parts])
    return chosen[np.lexsort((chosen["hash"], chosen["group"]))]


def vectors_of(source: SignalSource, chosen: Array) -> Float32Array:
    """Return the vectors of chosen rows, (n, d) float32, in their order."""
    vectors = source.vectors
    found = np.empty((len(chosen), vectors.dimension), np.float32)
    for block in np.unique(chosen["block"]):
        mine = np.flatnonzero(chosen["block"] == block)
        found[mine] = vectors.block(source.blocks[block])[chosen["row"][mine]]
    return found


def _choose(source: SignalSource, folder: str, size: int, seed: int, number: int) -> Array:
    """Return the chosen rows of a block."""
    block, groups = source.blocks[number], read_groups(folder)
    identity = source.pool.table(block, ["identity"])["identity"].to_numpy()
    codes = groups.codes(source.columns(block, groups.columns)) if groups.column else np.zeros(len(identity), np.int32)
    hashes = uniform(seed, identity)
    rows = np.flatnonzero(hashes < groups.shares(size)[codes])
    chosen = np.empty(len(rows), CHOSEN)
    chosen["group"], chosen["block"], chosen["row"], chosen["hash"] = codes[rows], number, rows, hashes[rows]
    return chosen
