"""Level 1 of a pool too large for one k-means: filed under a few groups, each clustered on its own.

Block by block, rows are filed under G centres of a sample and written sorted by group; then every group is one k-means
in the memory it may use; then every row finds its nearest centroid among all. Every part is one file, so work already
done is found again after a crash. Memory of a worker: one block or one group of rows, and all centroids.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, read_array, stream_array, write_array
from evenkeel.infra.compute import Compute
from evenkeel.tasks.cluster.checkpoint import Checkpoint
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.hierarchy import read_rows, write_rows
from evenkeel.tasks.cluster.levels import Log
from evenkeel.tasks.cluster.resample import fit_level
from evenkeel.tasks.cluster.source import Source, Stacked
from evenkeel.tasks.kmeans.chart import nearest_centroids, write_chart
from evenkeel.tasks.kmeans.fit import kmeans
from evenkeel.tasks.kmeans.groups import allot
from evenkeel.tasks.kmeans.lloyd import assign_exact, members, squared_distances
from evenkeel.tasks.kmeans.prepare import Floats, prepare

GIB = 1 << 30
SAMPLE = 256
LARGEST = 50_000
PIECE = 4096  # rows written at a time
Tell = Callable[[float, str], None]
Sums = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]


def group_count(rows: int, dimension: int, k: int, config: ClusteringConfig) -> int:
    """Return into how many groups the rows are split: 1 where they fit `memory_gib` as float32."""
    need = rows * dimension * 4 / (config.memory_gib * GIB)
    return 1 if need <= 1 else int(max(2, np.ceil(2 * need), np.ceil(k / LARGEST)))


def sample_rows(source: Source, sizes: list[int], most: int) -> npt.NDArray[Any]:
    """Return up to `most` kept rows, evenly spaced over the pool, (m, d)."""
    step = max(1, -(-sum(sizes) // most))
    parts, skip = [], 0
    for block, size in zip(source.names, sizes, strict=True):
        if size > skip:
            parts.append(np.asarray(source.read(block)[skip::step]))
        skip = (skip - size) % step
    return np.concatenate(parts)


def file_block(
    source: Source, config: ClusteringConfig, folder: str, scratch: Path, block: str
) -> dict[str, list[float]]:
    """Write the kept rows of a block sorted by their nearest group; return rows and squared error by group."""
    done = storage.join(folder, f"{block}.json")
    if storage.exists(done):
        found: dict[str, list[float]] = storage.read_json(done)
        return found
    centres = map_array(storage.join(folder, "centres.npy"), scratch)
    x = source.read(block)
    sums = {"rows": [0.0] * len(centres), "error": [0.0] * len(centres)}
    order, starts = np.empty(0, np.int64), np.zeros(len(centres) + 1, np.int64)
    if len(x):
        rows = prepare(x, None, config.metric, 1)
        inside = rows.inside(centres)
        labels = assign_exact(rows, inside)
        error = squared_distances(rows, inside, labels) / rows.scale**2
        order, starts = members(labels, len(centres))
        sums = {
            "rows": np.bincount(labels, minlength=len(centres)).tolist(),
            "error": np.bincount(labels, weights=error, minlength=len(centres)).tolist(),
        }
    pieces = (x[order[first : first + PIECE]] for first in range(0, len(order), PIECE))
    stream_array(storage.join(folder, f"{block}.npy"), (len(order), x.shape[1]), x.dtype, pieces)
    write_array(storage.join(folder, f"{block}-starts.npy"), starts)
    storage.write_json(done, sums)
    return sums


def fit_group(
    config: ClusteringConfig,
    folder: str,
    scratch: Path,
    blocks: list[str],
    quota: list[int],
    bound: int | None,
    seed: int,
    on_gpu: bool,
    group: int,
) -> int:
    """Cluster the rows of one group on its own, write its centroids, return how many.

    A group that is larger than memory allows is fitted on every second, third, ... of its rows.
    """
    target = storage.join(folder, f"group-{group}.npy")
    if storage.exists(target):
        return len(map_array(target, scratch))
    parts = []
    for block in blocks:
        starts = map_array(storage.join(folder, f"{block}-starts.npy"), scratch)
        parts.append(map_array(storage.join(folder, f"{block}.npy"), scratch)[starts[group] : starts[group + 1]])
    rows, dimension = sum(map(len, parts)), parts[0].shape[1]
    step = int(np.ceil(rows * dimension * 4 / (config.memory_gib * GIB)))
    if step > 1:
        parts = [part[::step] for part in parts]
    centroids = np.empty((0, dimension), np.float32)
    entries: list[dict[str, Any]] = []
    kept = storage.join(folder, f"group-{group}")
    if quota[group] and rows:
        centroids = fit_level(
            Stacked(parts, dimension),
            quota[group],
            config,
            seed + group,
            threads=1,
            log=Log(entries, level=1, group=group),
            checkpoint=Checkpoint(kept),
            bound=bound and max(1, bound // step),
            on_gpu=on_gpu,
        ).centroids
    storage.write_json(storage.join(folder, f"group-{group}-log.json"), entries)
    write_array(target, centroids)
    storage.remove(kept)
    return len(centroids)


def label_block(source: Source, config: ClusteringConfig, folder: str, scratch: Path, out: str, block: str) -> Sums:
    """Write the nearest centroid of every kept row of a block; return (leaf, rows, squared error) of the leaves met."""
    row_ids, _ = source.kept(block)
    labels, squared = nearest_centroids(source.read(block), folder, config.metric, scratch, config.precision == "exact")
    write_rows(out, block, row_ids, labels, np.sqrt(squared).astype(np.float32))
    met, place, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    return met.astype(np.int64), sizes.astype(np.int64), np.bincount(place, weights=squared).astype(np.float64)


def renumber_block(out: str, renumbered: npt.NDArray[np.int32], block: str) -> None:
    """Give the rows of a block the numbers that leaves have once empty ones are gone."""
    table = read_rows(out, block)
    leaves = renumbered[table["leaf"].to_numpy()]
    write_rows(out, block, table["row_id"].to_numpy(), leaves, table["distance"].to_numpy())


def fit_split(
    source: Source,
    sizes: list[int],
    dimension: int,
    k: int,
    config: ClusteringConfig,
    seed: int,
    out: str,
    folder: str,
    compute: Compute,
    scratch: Path,
    tell: Tell,
    bound: int | None,
    log: Log,
) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Cluster the kept rows of a pool group by group and write `rows/`: (centroids, their rows, their squared error).

    sizes: kept rows of every block. folder: where parts are kept until the step is done. tell: progress.
    log: given what every iteration of every group did.
    """
    rows, names = sum(sizes), source.names
    groups = group_count(rows, dimension, k, config)
    work = rows * dimension * source.vectors.dtype.itemsize
    centres_file = storage.join(folder, "centres.npy")
    if not storage.exists(centres_file):
        room = int(config.memory_gib * GIB / (4 * dimension))
        sample = sample_rows(source, sizes, max(groups, min(SAMPLE * groups, room)))
        model = kmeans(sample, groups, seed=seed, metric=config.metric, threads=compute.threads)
        write_array(centres_file, model.centroids)

    def counter(first: float, share: float, total: int, message: str) -> Callable[[int], None]:
        return lambda done: tell(first + share * done / total, f"{message} {done} of {total}")

    filed = compute.map(
        partial(file_block, source, config, folder, scratch),
        names,
        work=work,
        on_done=counter(0.0, 0.2, len(names), "filed block"),
    )
    mass, error = (np.array([entry[name] for entry in filed]).sum(axis=0) for name in ("rows", "error"))
    share = mass / mass.sum() + (error / error.sum() if error.any() else 0)
    quota = allot(share, k, mass.astype(np.int64)).tolist()
    found = compute.map(
        partial(fit_group, config, folder, scratch, names, quota, bound, seed + 1, compute.backend == "gpu"),
        list(range(len(quota))),
        work=work,
        on_done=counter(0.2, 0.6, len(quota), "clustered group"),
    )
    centroids = np.concatenate([read_array(storage.join(folder, f"group-{group}.npy")) for group in range(len(found))])
    for group in range(len(found)):
        log.entries += storage.read_json(storage.join(folder, f"group-{group}-log.json"))
    write_chart(folder, centroids, config.metric, seed, compute.threads)
    labelled = compute.map(
        partial(label_block, source, config, folder, scratch, out),
        names,
        work=work,
        on_done=counter(0.8, 0.2, len(names), "labelled block"),
    )
    counts, squared = np.zeros(len(centroids), np.int64), np.zeros(len(centroids))
    for met, number, error in labelled:
        counts[met] += number
        squared[met] += error
    if not counts.all():
        renumbered = np.cumsum(counts > 0).astype(np.int32) - 1
        compute.map(partial(renumber_block, out, renumbered), names, work=work)
    return centroids[counts > 0], counts[counts > 0], squared[counts > 0]
