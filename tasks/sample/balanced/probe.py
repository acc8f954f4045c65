"""Draw the probe: rows taken evenly from all leaves, on which candidate rules are measured."""

from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra.compute import Compute
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.sample.balanced.partition import Probe
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.quotas.tree import ClusterTree

SEED = 0x70_726F_6265


def draw_probe(rows: CandidateRows, tree: ClusterTree, size: int, seed: int, compute: Compute) -> Probe:
    """Return about `size` rows, the same number from every leaf that has them, by coordinated hashing.

    With more leaves than that, a random sample of the leaves give one row each and represent the others.
    """
    per_leaf = max(1, size // max(1, tree.leaves))
    draws = uniform(SEED + seed, np.arange(tree.leaves, dtype=np.uint64))
    chosen = draws <= min(1.0, size / max(1, tree.leaves))
    needs = np.where(chosen, np.minimum(tree.sizes, per_leaf), 0)
    find = partial(_first_rows, rows=rows, needs=needs, sizes=tree.sizes, seed=SEED + seed)
    found = compute.reduce(find, _together, rows.blocks, work=rows.pool.rows * 30)
    assert found is not None
    leaf = found["leaf"].to_numpy().astype(np.int64)
    order = np.lexsort((found["identity"].to_numpy(), found["value"].to_numpy(), leaf))
    leaf = leaf[order]
    inside = np.arange(len(leaf)) - np.searchsorted(leaf, leaf) < needs[leaf]
    found, leaf = found.take(order[inside]), leaf[inside]
    half = uniform(SEED + seed + 1, found["identity"].to_numpy()) < 0.5
    weight = 1.0 / np.bincount(leaf, minlength=tree.leaves)[leaf]
    return Probe(_vectors(rows, found, compute), leaf, weight, half)


def _together(one: pa.Table, other: pa.Table) -> pa.Table:
    return pa.concat_tables([one, other]).combine_chunks()


def _first_rows(
    block: str, rows: CandidateRows, needs: NDArray[np.int64], sizes: NDArray[np.int64], seed: int
) -> pa.Table:
    """Return the rows of a block that may be in the probe: those with a small hash for the size of their leaf."""
    table = rows.table(block, ["identity"])
    leaf = table["leaf"].to_numpy()
    value = uniform(seed, table["identity"].to_numpy())
    needed = needs[leaf]
    likely = value <= (needed + 4 * np.sqrt(needed) + 8) / np.maximum(1, sizes[leaf])
    found = table.append_column("value", pa.array(value)).append_column(
        "block", pa.array([block] * table.num_rows, pa.string())
    )
    return found.filter(pa.array(likely & (needed > 0)))


def _vectors(rows: CandidateRows, found: pa.Table, compute: Compute) -> NDArray[np.float32]:
    """Return the vectors of some rows in the order given, (n, d) float32; workers read the blocks, each once."""
    blocks, row_id = np.array(found["block"].to_pylist()), found["row_id"].to_numpy()
    order = np.argsort(blocks, kind="stable")
    names, starts = np.unique(blocks[order], return_index=True)
    jobs = [(str(name), row_id[here]) for name, here in zip(names, np.split(order, starts[1:]), strict=True)]
    picked = np.concatenate(compute.map(partial(_vectors_of_block, rows), jobs, work=rows.pool.rows * 30))
    back: NDArray[np.float32] = np.empty(picked.shape, np.float32)
    back[order] = picked
    return back


def _vectors_of_block(rows: CandidateRows, job: tuple[str, NDArray[np.uint64]]) -> NDArray[np.float32]:
    """Return the vectors of a few rows of a block, given its name and their ids, (m, d) float32."""
    return np.asarray(rows.vectors(*job), np.float32)
