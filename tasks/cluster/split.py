"""Level 1 of a pool too large for one k-means: rows are split into a few groups, each clustered on its own.

Run by run of blocks, rows are sorted by their nearest of G group centroids, fitted on a sample; then every group is one
k-means in the memory it may use; then every row finds its nearest centroid among all, beginning with that of its group.
Every part is one file, so work already done is found again after a crash; a group reads its section of the file of
every run, one file open at a time.
Memory of a worker: one run or one group of rows, at most `memory_gib`, and all centroids.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple, TypedDict, cast

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, read_array, stream_array, write_array
from evenkeel.infra.compute import Compute
from evenkeel.infra.dtypes import Array, Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.infra.memory import GIB
from evenkeel.infra.reduction import results_here
from evenkeel.infra.sections import read_sections, write_sections
from evenkeel.tasks.cluster.checkpoint import Checkpoint
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.hierarchy import read_rows, write_rows
from evenkeel.tasks.cluster.index import open_index, write_index
from evenkeel.tasks.cluster.log import IterationLog
from evenkeel.tasks.cluster.resample import fit_level
from evenkeel.tasks.cluster.source import Source, Stacked
from evenkeel.tasks.kmeans.cost import centroid_bytes, k_means_bytes
from evenkeel.tasks.kmeans.fit import kmeans
from evenkeel.tasks.kmeans.index import CentroidIndex
from evenkeel.tasks.kmeans.lloyd import assign_exact, invert, squared_distances
from evenkeel.tasks.kmeans.options import Device, Options
from evenkeel.tasks.kmeans.prepare import prepare
from evenkeel.tasks.kmeans.seeding import apportion

SAMPLE_PER_GROUP = 256
MAX_CLUSTERS_PER_GROUP = 50_000
RUN_COPIES = 4  # of a run of blocks: as read, as copied, as sorted, and what is found of each row
GROUP_SPARE = 1.5  # groups are of unequal size


class GroupSums(TypedDict):
    """Rows of a block, and their summed squared distances, by group."""

    rows: list[float]
    error: list[float]


LEAF_SUMS = np.dtype([("leaf", "<i8"), ("rows", "<i8"), ("squared", "<f8")])  # of a leaf that occurs in a block


@dataclass(frozen=True)
class SplitLevel:
    """What every part of the work is given: the rows, how to cluster them, and where files lie.

    folder: of what is kept until the step is done. out: of the step's output. device: of a worker.
    """

    source: Source
    config: ClusteringConfig
    seed: int
    folder: str
    out: str
    scratch: Path
    device: Device = field(default_factory=lambda: Device(threads=1))

    def path(self, name: str) -> str:
        """Return the path of one of the files kept until the step is done."""
        return storage.join(self.folder, name)


@dataclass(frozen=True)
class GroupPlan:
    """How the groups are clustered: clusters of each, and most rows of a cluster (None = no bound).

    rows: of each group. runs: in how many files they lie.
    """

    clusters: list[int]
    max_rows: int | None
    rows: list[int]
    runs: int


def memory_of(dimension: int, itemsize: int, config: ClusteringConfig) -> float:
    """Return the bytes that clustering takes for each row of a k-means; itemsize: of a number of the vectors."""
    return k_means_bytes(dimension, itemsize, config.resampling_share if config.resampling else 0.0)


def rows_that_fit(k: int, dimension: int, itemsize: int, config: ClusteringConfig) -> int:
    """Return how many rows one k-means of k clusters may have: those for which there is room beside the centroids.

    A quarter of the memory is for rows, however many clusters there are.
    """
    memory = config.memory_gib * GIB
    room = max(memory - k * centroid_bytes(dimension), memory / 4)
    return max(1, int(room / memory_of(dimension, itemsize, config)))


def group_count(rows: int, dimension: int, itemsize: int, k: int, config: ClusteringConfig) -> int:
    """Return into how many groups the rows are split: 1 where one k-means of them all takes at most `memory_gib`."""
    taken = rows * memory_of(dimension, itemsize, config) + min(k, rows) * centroid_bytes(dimension)
    need = taken / (config.memory_gib * GIB)
    return 1 if need <= 1 else int(max(2, np.ceil(GROUP_SPARE * need), np.ceil(k / MAX_CLUSTERS_PER_GROUP)))


def runs_of(names: Sequence[str], sizes: list[int], dimension: int, config: ClusteringConfig) -> list[tuple[str, ...]]:
    """Return runs of consecutive blocks that are sorted by group together: as read, as copied and as sorted they fit.

    A run has at least one block.
    """
    most = max(1, int(config.memory_gib * GIB / (RUN_COPIES * 4 * dimension)))
    numbered = zip(((np.cumsum(sizes) - 1) // most).tolist(), names, strict=True)
    return [tuple(name for _, name in part) for _, part in groupby(numbered, key=lambda pair: pair[0])]


def sample_rows(level: SplitLevel, sizes: list[int], most: int, compute: Compute) -> Array:
    """Return up to `most` kept rows, evenly spaced over the pool, (m, d): workers read the blocks and leave theirs."""
    step = max(1, -(-sum(sizes) // most))
    jobs, skip = [], 0
    for block, size in zip(level.source.names, sizes, strict=True):
        if size > skip:
            jobs.append((block, skip))
        skip = (skip - size) % step
    work = sum(sizes) * level.source.dimension * level.source.dtype.itemsize
    compute.map(partial(_sample_block, level, step), jobs, work=work)
    return np.concatenate([read_array(level.path(sample_file(block))) for block, _ in jobs])


def _sample_block(level: SplitLevel, step: int, job: tuple[str, int]) -> None:
    """Write every `step`-th kept row of a block, after as many as are skipped."""
    block, skip = job
    write_array(level.path(sample_file(block)), np.asarray(level.source.read(block)[skip::step]))


def sample_file(block: str) -> str:
    """Return the name of the file with the rows of a block that the groups are fitted on."""
    return f"sample-{block}.npy"


def split_run(level: SplitLevel, run: tuple[int, tuple[str, ...]]) -> None:
    """Write the kept rows of a run of blocks, given its number, sorted by their nearest group, and what each got."""
    number, blocks = run
    done = level.path(f"run-{number:06d}.json")
    if storage.exists(done):
        return
    groups = map_array(level.path("groups.npy"), level.scratch)
    read = [level.source.read(block) for block in blocks]
    x = read[0] if len(read) == 1 else np.concatenate(read)
    del read
    sums: GroupSums = {"rows": [0.0] * len(groups), "error": [0.0] * len(groups)}
    labels, order, starts = np.empty(0, np.int32), np.empty(0, np.int64), np.zeros(len(groups) + 1, np.int64)
    if len(x):
        rows = prepare(x, None, level.config.metric, 1)
        inside = rows.frame.inside(groups)
        labels = assign_exact(rows, inside)
        error = squared_distances(rows, inside, labels).astype(np.float64) / rows.frame.scale**2
        order, starts = invert(labels, len(groups))
        sums = {
            "rows": np.bincount(labels, minlength=len(groups)).tolist(),
            "error": np.bincount(labels, weights=error, minlength=len(groups)).tolist(),
        }
    kind = x.dtype.newbyteorder("<")
    sorted_rows = (x[order[first:last]].astype(kind, copy=False) for first, last in pairwise(starts))
    sections = [rows_of.reshape(-1).view(np.uint8).data for rows_of in sorted_rows]
    write_sections(level.path(run_file(number)), sections)
    write_array(level.path(groups_file(number)), labels.astype(np.uint16 if len(groups) <= 1 << 16 else np.int32))
    storage.write_json(done, sums)


def sums_of(level: SplitLevel, run: int) -> GroupSums:
    """Return what every group got of a run that is written."""
    return cast(GroupSums, storage.read_json(level.path(f"run-{run:06d}.json")))


def run_file(number: int) -> str:
    """Return the name of the file with the rows of a run, one section for each group."""
    return f"run-{number:06d}.bin"


def groups_file(number: int) -> str:
    """Return the name of the file with the group of every row of a run."""
    return f"run-{number:06d}-groups.npy"


def labels_file(group: int) -> str:
    """Return the name of the file with the cluster of every row of a group, run by run; -1 of one left out."""
    return f"group-{group}-labels.npy"


def fit_group(level: SplitLevel, plan: GroupPlan, group: int) -> int:
    """Cluster the rows of one group on its own, write its centroids, return how many.

    A group that is larger than memory allows is fitted on every second, third, ... of its rows.
    """
    config, target = level.config, level.path(f"group-{group}.npy")
    if storage.exists(target):
        return len(map_array(target, level.scratch))
    dimension, kind = level.source.dimension, np.dtype(level.source.dtype).newbyteorder("<")
    rows = plan.rows[group]
    step = max(1, -(-rows // rows_that_fit(plan.clusters[group], dimension, kind.itemsize, config)))
    parts: list[Array] = []
    first, fitted = 0, np.zeros(rows, np.bool_)
    for number in range(plan.runs):
        (section,) = read_sections(level.path(run_file(number)), group, group + 1)
        part = np.frombuffer(section, kind).reshape(-1, dimension)
        fitted[first : first + len(part)][::step] = True
        first += len(part)
        parts.append(part if step == 1 else part[::step].copy())
    centroids, log = np.empty((0, dimension), np.float32), IterationLog(group=group)
    labels = np.full(rows, -1, np.int32)
    checkpoint = Checkpoint(level.path(f"group-{group}"))
    if plan.clusters[group] and rows:
        max_rows = None if plan.max_rows is None else max(1, plan.max_rows // step)
        x, seed = Stacked(parts, dimension), level.seed + 1 + group
        model = fit_level(x, plan.clusters[group], config, seed, level.device, log, checkpoint, max_rows)
        centroids, labels[fitted] = model.centroids, model.labels
    write_array(level.path(labels_file(group)), labels)
    storage.write_json(level.path(f"group-{group}-log.json"), log.entries)
    write_array(target, centroids)
    storage.remove(checkpoint.folder)
    return len(centroids)


class Place(NamedTuple):
    """Where the rows of a block are: its name, the number of its run, and which of the run's rows is its first."""

    block: str
    run: int
    first: int


def places_of(runs: Sequence[tuple[str, ...]], sizes: list[int]) -> list[Place]:
    """Return the place of every block, given the blocks of every run and the rows of every block."""
    places, block = [], 0
    for run, names in enumerate(runs):
        first = 0
        for name in names:
            places.append(Place(name, run, first))
            first += sizes[block]
            block += 1
    return places


def label_block(level: SplitLevel, place: Place) -> None:
    """Write the nearest centroid of every kept row of a block, and what each leaf got, `LEAF_SUMS`."""
    config, (row_ids, _) = level.config, level.source.kept(place.block)
    index, x = open_index(level.path("index"), config.metric, level.scratch), level.source.read(place.block)
    if config.precision == "exact":
        labels, squared = index.nearest(x, exact=True, device=level.device)
    else:
        neighbours = map_array(level.path("neighbours.npy"), level.scratch)
        labels, squared = index.nearest_from(x, labels_in_groups(level, place, len(x)), neighbours, level.device)
    write_rows(level.out, place.block, row_ids, labels, np.sqrt(squared).astype(np.float32))
    leaves, found, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.empty(len(leaves), LEAF_SUMS)
    sums["leaf"], sums["rows"], sums["squared"] = leaves, sizes, np.bincount(found, weights=squared)
    write_array(level.path(sums_file(place.block)), sums)


def sums_file(block: str) -> str:
    """Return the name of the file with what each leaf got of a block."""
    return f"leaves-{block}.npy"


def write_labels(level: SplitLevel, plan: GroupPlan, clusters: list[int]) -> None:
    """Write the centroid that every row was given in its group, counted over all groups, and where a run's are.

    clusters: of every group. labels.npy: (rows,) int32, group by group and in these run by run; -1 of a row left out.
    sections.npy: (runs, groups) int64, where the rows of a group begin that are of a run.
    """
    firsts = np.cumsum([0, *clusters[:-1]])

    def labels() -> Iterator[Array]:
        for group, first in enumerate(firsts.tolist()):
            found = read_array(level.path(labels_file(group)))
            yield np.where(found < 0, -1, found + first).astype(np.int32)

    def sections() -> Iterator[Array]:
        begin = np.cumsum([0, *plan.rows[:-1]])
        for run in range(plan.runs):
            yield begin.astype(np.int64)
            begin = begin + np.array(sums_of(level, run)["rows"], np.int64)

    stream_array(level.path("labels.npy"), (sum(plan.rows),), np.int32, labels())
    stream_array(level.path("sections.npy"), (plan.runs, len(clusters)), np.int64, sections())


def labels_in_groups(level: SplitLevel, place: Place, rows: int) -> Int32Array:
    """Return the centroid that every row of a block was given in its group, counted over all groups; -1 for none."""
    run = map_array(level.path(groups_file(place.run)), level.scratch)
    groups = run[place.first : place.first + rows].astype(np.int32)
    begins = np.array(map_array(level.path("sections.npy"), level.scratch)[place.run])
    begins += np.bincount(run[: place.first], minlength=len(begins))
    members, starts = invert(groups, len(begins))
    at = np.empty(rows, np.int64)
    at[members] = begins[groups[members]] + np.arange(rows) - starts[groups[members]]
    return np.asarray(map_array(level.path("labels.npy"), level.scratch)[at], np.int32)


def renumber_block(out: str, folder: str, renumbered: Int32Array, block: str) -> None:
    """Give the rows of a block the numbers that leaves have once empty ones are gone.

    What leaves it had is written first, to the folder: a block that a worker has renumbered before it died is
    renumbered again, and the order of its leaves is the same before and after.
    """
    table, known = read_rows(out, block), storage.join(folder, f"renumbered-{block}.npy")
    leaves, places = np.unique(table["leaf"].to_numpy(), return_inverse=True)
    if storage.exists(known):
        leaves = read_array(known)
    else:
        write_array(known, leaves)
    write_rows(out, block, table["row_id"].to_numpy(), renumbered[leaves][places], table["distance"].to_numpy())


def fit_split(
    level: SplitLevel,
    sizes: list[int],
    k: int,
    max_rows: int | None,
    compute: Compute,
    progress: Callable[[float, str], None],
    log: IterationLog,
) -> tuple[Float32Array, Int64Array, Float64Array]:
    """Cluster the kept rows of a pool group by group and write `rows/`: (centroids, their rows, their squared error).

    sizes: kept rows of every block. max_rows: most rows of a leaf, None = no bound. log: gets what every iteration of
    every group did. The driver holds the centroids and their index, and what leaves got of a few blocks.
    """
    source, config = level.source, level.config
    rows, names = sum(sizes), source.names
    itemsize = source.dtype.itemsize
    work = rows * source.dimension * itemsize
    _fit_groups(level, sizes, group_count(rows, source.dimension, itemsize, k, config), compute)
    runs = runs_of(names, sizes, source.dimension, config)

    def share_of(first: float, share: float, total: int, message: str) -> Callable[[int], None]:
        return lambda done: progress(first + share * done / total, f"{message} {done} of {total}")

    report, each = share_of(0.0, 0.2, len(runs), "split run"), config.memory_gib * GIB
    compute.map(partial(split_run, level), list(enumerate(runs)), work=work, each=each, on_done=report)
    rows_of, error_of = np.zeros(1), np.zeros(1)
    for run in range(len(runs)):
        sums = sums_of(level, run)
        rows_of, error_of = rows_of + sums["rows"], error_of + sums["error"]
    share = rows_of / rows_of.sum() + (error_of / error_of.sum() if error_of.any() else 0)
    clusters = apportion(share, k, rows_of.astype(np.int64)).tolist()
    groups = range(len(clusters))
    plan = GroupPlan(clusters, max_rows, rows_of.astype(np.int64).tolist(), len(runs))
    report = share_of(0.2, 0.6, len(groups), "clustered group")
    found = compute.map(partial(fit_group, level, plan), list(groups), work=work, each=each, on_done=report)
    centroids, first = np.empty((sum(found), source.dimension), np.float32), 0
    for group, count in enumerate(found):
        centroids[first : first + count] = read_array(level.path(f"group-{group}.npy"))
        first += count
        log.entries += storage.read_json(level.path(f"group-{group}-log.json"))
    _write_index(level, centroids, compute.threads)
    if config.precision != "exact":
        write_labels(level, plan, found)
    report = share_of(0.8, 0.2, len(names), "labelled block")
    counts, squared = np.zeros(len(centroids), np.int64), np.zeros(len(centroids))
    compute.map(partial(label_block, level), places_of(runs, sizes), work=work, on_done=report)
    for got in results_here(partial(_read_sums, level), names, compute.threads, ahead=2):
        counts[got["leaf"]] += got["rows"]
        squared[got["leaf"]] += got["squared"]
    if counts.all():
        return centroids, counts, squared
    renumbered = np.cumsum(counts > 0).astype(np.int32) - 1
    compute.map(partial(renumber_block, level.out, level.folder, renumbered), names, work=work)
    return centroids[counts > 0], counts[counts > 0], squared[counts > 0]


def _read_sums(level: SplitLevel, block: str) -> Array:
    """Return what each leaf got of a block, `LEAF_SUMS`."""
    return read_array(level.path(sums_file(block)))


def _write_index(level: SplitLevel, centroids: Float32Array, threads: int) -> None:
    """Write the index of all centroids, and the neighbours of each, where rows begin with that of their group."""
    index = CentroidIndex.build(centroids, level.config.metric, level.seed, threads)
    write_index(level.path("index"), index)
    if level.config.precision != "exact":
        write_array(level.path("neighbours.npy"), index.neighbours(threads))


def _fit_groups(level: SplitLevel, sizes: list[int], groups: int, compute: Compute) -> None:
    """Write the group centroids, `groups.npy`, fitted on a sample of the rows that fits memory."""
    if storage.exists(level.path("groups.npy")):
        return
    in_memory = rows_that_fit(groups, level.source.dimension, level.source.dtype.itemsize, level.config)
    sample = sample_rows(level, sizes, max(groups, min(SAMPLE_PER_GROUP * groups, in_memory)), compute)
    model = kmeans(sample, groups, Options(metric=level.config.metric), seed=level.seed, threads=compute.threads)
    write_array(level.path("groups.npy"), model.centroids)
