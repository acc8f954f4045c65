"""The assign step: rows join finished clusters, in place of clustering anew, while the pool has not drifted."""

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.infra.errors import InputError
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.cluster.config import AssignConfig
from evenkeel.tasks.cluster.drift import BINS, Radii, measure_drift
from evenkeel.tasks.cluster.hierarchy import (
    Hierarchy,
    HierarchyInfo,
    Level,
    LevelInfo,
    read_rows,
    write_level,
    write_offsets,
    write_rows,
)
from evenkeel.tasks.cluster.index import open_index, write_index
from evenkeel.tasks.cluster.inputs import AssignInputs
from evenkeel.tasks.cluster.penalty import nearest_penalised, write_penalised_index
from evenkeel.tasks.cluster.source import Source
from evenkeel.tasks.embed.device import worker_device
from evenkeel.tasks.ingest.pool import SHARD_BITS, Pool
from evenkeel.tasks.kmeans.index import CentroidIndex
from evenkeel.tasks.kmeans.options import Device
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

INDEX = "index"
Known = dict[str, list[int]]


def assign(config: AssignConfig, inputs: AssignInputs, out: StepFolder, run: Run) -> Outcome:
    """Give every kept row a leaf of finished clusters, recount them, and measure how far the pool has drifted.

    Rows of blocks that are the same in both pools keep their leaf; all others go to the nearest, by the offsets of the
    leaves where there are any. The output is that of the cluster step, with the same centroids and so the same centroid
    hash; the facts hold the `drift`.
    """
    source = Source.open(inputs, run.scratch)
    base = Hierarchy.open(inputs.base)
    if base.dimension != source.dimension:
        raise InputError(
            "the clusters are of other vectors",
            expected=f"{base.dimension} dimensions",
            found=f"{source.dimension}",
            where="clustering.reuse",
            remedy="set clustering.reuse to never, once",
        )
    if base.offsets is None:
        centroids = base.levels[0].centroids
        write_index(out.path(INDEX), CentroidIndex.build(centroids, config.metric, 0, run.compute.threads))
    else:
        write_penalised_index(out.path(INDEX), base.levels[0].centroids, base.offsets, run.compute.threads)
        write_offsets(out.uri, base.offsets)
    same = unchanged_parts(Pool.open(inputs.base_ingest), source.pool)
    work = partial(assign_block, source, base.uri, config, out.uri, run.scratch, worker_device(run.compute))
    total = len(source.names)
    tallies = run.compute.map(
        work,
        list(zip(source.names, same, strict=True)),
        work=source.pool.rows * source.dimension * source.vectors.dtype.itemsize,
        on_done=lambda done: run.progress(done / total, f"assigned block {done} of {total}"),
    )
    counts, squared = np.zeros(base.leaves, np.int64), np.zeros(base.leaves)
    for tally in tallies:
        counts[tally.leaves] += tally.rows
        squared[tally.leaves] += tally.squared
    levels = recount(base, counts, squared)
    for number, level in enumerate(levels, start=1):
        write_level(out.path(f"level-{number}"), level)
    about: list[LevelInfo] = [
        {**entry, "inertia": level.inertia} for entry, level in zip(base.info["levels"], levels, strict=True)
    ]
    info: HierarchyInfo = {**base.info, "blocks": list(source.names), "levels": about}
    storage.write_json(out.path("levels.json"), info)
    storage.remove(out.path(INDEX))
    rows, new = int(counts.sum()), sum(tally.new for tally in tallies)
    histograms = (
        sum((tally.old_distances for tally in tallies), np.zeros((2, BINS), np.int64)),
        sum((tally.new_distances for tally in tallies), np.zeros((2, BINS), np.int64)),
    )
    drift = measure_drift(base, counts, rows - new, new, histograms)
    run.progress(1.0, f"{new:,} of {rows:,} rows are new, drift {drift.drift:.3f}")
    return Outcome(
        counts={"rows": rows, "levels": len(levels), "leaves": base.leaves, "new": new},
        facts={"centroid_hash": base.centroid_hash, "levels": about, "drift": drift.model_dump()},
    )


def unchanged_parts(base: Pool, pool: Pool) -> list[Known]:
    """Return for every block of a pool the blocks of its base that hold the same rows of some shards, and which."""
    places = {part.content: block.name for block in base.blocks for part in block.parts if part.content}
    found: list[Known] = []
    for block in pool.blocks:
        known: Known = {}
        for part in block.parts:
            if part.content in places:
                known.setdefault(places[part.content], []).append(part.shard)
        found.append(known)
    return found


@dataclass(frozen=True)
class Tally:
    """The rows of a block, counted: leaves that occur, rows and summed squared distances of each, (m,).

    new: rows that the clusters were not made of. old_distances, new_distances: `Radii.histogram` of the others, and of
    these.
    """

    leaves: Int64Array
    rows: Int64Array
    squared: Float64Array
    new: int
    old_distances: Int64Array
    new_distances: Int64Array


def assign_block(
    source: Source, base: str, config: AssignConfig, out: str, scratch: Path, device: Device, block: tuple[str, Known]
) -> Tally:
    """Write the leaf of every kept row of a block, (name, what the base knows of it), and count what was written."""
    name, known_in = block
    row_ids, index = source.kept(name)
    leaves, distances = np.full(len(row_ids), -1, np.int32), np.zeros(len(row_ids), np.float32)
    shards = row_ids >> np.uint64(SHARD_BITS)
    for earlier, numbers in known_in.items():
        known = read_rows(base, earlier)
        at, old = find_sorted(known["row_id"].to_numpy(), row_ids)
        old &= np.isin(shards, np.array(numbers, np.uint64))
        leaves[old], distances[old] = known["leaf"].to_numpy()[at[old]], known["distance"].to_numpy()[at[old]]
    fresh = leaves < 0
    if fresh.any():
        x = source.vectors.block(name)[index[fresh]]
        centroids, offsets = storage.join(out, INDEX), _hierarchy(base).offsets
        if offsets is None:
            leaves[fresh], squared = open_index(centroids, config.metric, scratch).nearest(x, device=device)
        else:
            leaves[fresh], squared = nearest_penalised(centroids, scratch, x, offsets)
        distances[fresh] = np.sqrt(squared)
    write_rows(out, name, row_ids, leaves, distances)
    radii = _radii(base)
    present, place, rows = np.unique(leaves, return_inverse=True, return_counts=True)
    old = ~fresh
    return Tally(
        present.astype(np.int64),
        rows.astype(np.int64),
        np.bincount(place, weights=distances.astype(np.float64) ** 2, minlength=len(present)).astype(np.float64),
        int(fresh.sum()),
        radii.histogram(leaves[old], distances[old], members=True),
        radii.histogram(leaves[fresh], distances[fresh], members=False),
    )


def recount(base: Hierarchy, counts: Int64Array, squared: Float64Array) -> list[Level]:
    """Return the levels of a base with the rows there are now: same centroids, same parents, other counts.

    counts, squared: rows and sum of squared distances of every leaf, (k,). Radii above level 1 are of centroids, and
    stay.
    """
    finest = base.levels[0]
    radii = np.sqrt(squared / np.maximum(counts, 1)).astype(np.float32)
    levels = [Level(finest.centroids, finest.parents, counts, radii, float(squared.sum()))]
    for below, level in zip(base.levels, base.levels[1:], strict=False):
        counts = np.bincount(below.parents, weights=counts, minlength=level.clusters).astype(np.int64)
        levels.append(Level(level.centroids, level.parents, counts, level.radii, level.inertia))
    return levels


@lru_cache(maxsize=2)
def _hierarchy(base: str) -> Hierarchy:
    return Hierarchy(base)


@lru_cache(maxsize=2)
def _radii(base: str) -> Radii:
    return Radii.of(_hierarchy(base))


def cost(config: AssignConfig, work: Workload) -> float:
    """Return the CPU-seconds of assigning a pool."""
    return 1.5e-6 * work.rows


ASSIGN = Step(name="assign", version=3, function=assign, by_backend=True, cost=cost)
