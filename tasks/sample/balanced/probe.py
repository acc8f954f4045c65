"""The probe: rows drawn evenly from all leaves, on which candidate rules are measured. Made once for a clustering."""

from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.compute import Compute
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.sample.balanced.structure import Cut, Probe, find_cuts
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.hashing import uniform
from evenkeel.tasks.sample.inputs import ProbeInputs, SampleInputs
from evenkeel.tasks.sample.quotas.tree import ClusterTree, tree_of
from evenkeel.tasks.step import Outcome, Run, Step

SEED = 0x70_726F_6265


class ProbeConfig(BaseModel):
    """What the structure of a pool depends on besides its clustering."""

    rows: int = 8192
    seed: int = 0


def find_structure(config: ProbeConfig, inputs: ProbeInputs, out: StepFolder, run: Run) -> Outcome:
    """Draw a probe of a clustered pool, cut the space by it, and write both without the vectors."""
    rows, tree = (
        CandidateRows.open(inputs.ingest, inputs.embed, inputs.cluster, str(run.scratch)),
        tree_of(Hierarchy.open(inputs.cluster)),
    )
    probe = draw_probe(rows, tree, config.rows, config.seed, run.compute)
    cuts = find_cuts(probe, config.seed)
    cells = np.array([cut.cells for cut in cuts], np.int32).reshape(len(cuts), 2, len(probe.leaf))
    for name, array in (("leaf", probe.leaf), ("portion", probe.portion), ("half", probe.half), ("cells", cells)):
        write_array(out.path(f"{name}.npy"), array)
    found = [{"scale": cut.scale, "agreement": cut.agreement} for cut in cuts]
    storage.write_json(out.path("cuts.json"), found)
    return Outcome({"rows": len(probe.leaf), "cuts": len(cuts)}, {"cuts": found})


STRUCTURE = Step("structure", 1, find_structure)


def structure_of(probe_rows: int, inputs: SampleInputs, run: Run) -> tuple[Probe, list[Cut]]:
    """Return the probe (without vectors) and the cuts of a clustered pool, from the workspace where they are there."""
    needed = ProbeInputs(inputs.ingest, inputs.embed, inputs.cluster)
    ref = STRUCTURE(ProbeConfig(rows=probe_rows), needed, run)
    leaf, portion, half, cells = (
        read_array(storage.join(ref.uri, f"{name}.npy")) for name in ("leaf", "portion", "half", "cells")
    )
    cuts = [
        Cut(about["scale"], (pair[0], pair[1]), about["agreement"])
        for about, pair in zip(storage.read_json(storage.join(ref.uri, "cuts.json")), cells, strict=True)
    ]
    return Probe(np.empty((len(leaf), 0), np.float32), leaf, portion, half), cuts


def draw_probe(rows: CandidateRows, tree: ClusterTree, size: int, seed: int, compute: Compute) -> Probe:
    """Return about `size` rows, the same number from every leaf that has them, by coordinated hashing.

    With more leaves than that, a random few leaves give one row each, and stand for the others.
    """
    per_leaf = max(1, size // max(1, tree.leaves))
    draws = uniform(SEED + seed, np.arange(tree.leaves, dtype=np.uint64))
    chosen = draws <= min(1.0, size / max(1, tree.leaves))
    needs = np.where(chosen, np.minimum(tree.sizes, per_leaf), 0)
    find = partial(_first_rows, rows=rows, needs=needs, sizes=tree.sizes, seed=SEED + seed)
    found = pa.concat_tables(compute.map(find, rows.blocks, work=rows.pool.rows * 30))
    leaf = found["leaf"].to_numpy().astype(np.int64)
    order = np.lexsort((found["identity"].to_numpy(), found["value"].to_numpy(), leaf))
    leaf = leaf[order]
    inside = np.arange(len(leaf)) - np.searchsorted(leaf, leaf) < needs[leaf]
    found, leaf = found.take(order[inside]), leaf[inside]
    half = uniform(SEED + seed + 1, found["identity"].to_numpy()) < 0.5
    portion = 1.0 / np.bincount(leaf, minlength=tree.leaves)[leaf]
    return Probe(_vectors(rows, found), leaf, portion, half)


def _first_rows(
    block: str, rows: CandidateRows, needs: NDArray[np.int64], sizes: NDArray[np.int64], seed: int
) -> pa.Table:
    """Return the rows of a block that may be in the probe: those whose hash is small for the size of their leaf."""
    table = rows.table(block, ["identity"])
    leaf = table["leaf"].to_numpy()
    value = uniform(seed, table["identity"].to_numpy())
    needed = needs[leaf]
    likely = value <= (needed + 4 * np.sqrt(needed) + 8) / np.maximum(1, sizes[leaf])
    found = table.append_column("value", pa.array(value)).append_column(
        "block", pa.array([block] * table.num_rows, pa.string())
    )
    return found.filter(pa.array(likely & (needed > 0)))


def _vectors(rows: CandidateRows, found: pa.Table) -> NDArray[np.float32]:
    """Return the vectors of some rows in the order given, (n, d) float32, reading every block once."""
    blocks, row_id = np.array(found["block"].to_pylist()), found["row_id"].to_numpy()
    picked: NDArray[np.float32] = np.empty((0, 1), np.float32)
    for block in np.unique(blocks):
        here = np.flatnonzero(blocks == block)
        vectors = rows.vectors(str(block), row_id[here])
        if not picked.size:
            picked = np.empty((len(blocks), vectors.shape[1]), np.float32)
        picked[here] = vectors
    return picked
