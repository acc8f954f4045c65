"""The cluster step: kept rows in, a hierarchy of clusters out."""

import time
from dataclasses import dataclass

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.cluster.checkpoint import Checkpoint
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.fair import Fairness
from evenkeel.tasks.cluster.hierarchy import (
    HierarchyInfo,
    Level,
    LevelInfo,
    centroid_hash,
    write_level,
    write_offsets,
    write_rows,
)
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.levels import clear_gaps, first_levels, follow_gaps
from evenkeel.tasks.cluster.log import IterationLog
from evenkeel.tasks.cluster.penalty import Labelling, LeafSums, penalise
from evenkeel.tasks.cluster.resample import OnIteration, fit_level, rounds_of
from evenkeel.tasks.cluster.source import Source, Stacked
from evenkeel.tasks.cluster.split import SplitLevel, fit_split, group_count
from evenkeel.tasks.cluster.together import devices_together, fit_together
from evenkeel.tasks.cluster.upper import Children, Upper
from evenkeel.tasks.embed.device import driver_device, worker_device
from evenkeel.tasks.kmeans.bounds import bound_children
from evenkeel.tasks.kmeans.cost import k_means_seconds, resampled
from evenkeel.tasks.kmeans.options import Device, Iteration
from evenkeel.tasks.kmeans.ward import ward_heights, ward_seconds
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

SEED_STRIDE = 1_000_003
LEVEL_1_SHARE, UPPER_SHARE = 0.8, 0.2  # of the progress
PARTS = "parts"
ENDED = "ended.json"  # counts and facts, there while the parts are removed


def cluster(config: ClusteringConfig, inputs: ClusterInputs, out: StepFolder, run: Run) -> Outcome:
    """Cluster the kept rows level by level; write the levels and the leaf of every row.

    Level 1 is one k-means where the rows fit `memory_gib`, or that of several workers' CUDA devices together, else it
    is split; also, into one group, where the workers have devices and the driver has none. The levels above cluster
    the centroids below, unweighted. Raises InputError where no row is kept.
    """
    if storage.exists(out.path(ENDED)):
        return _clear(out, Outcome(**storage.read_json(out.path(ENDED))))
    source = Source.open(inputs, run.scratch)
    sizes = run.compute.map(source.count, source.names, work=source.pool.rows * 8)
    rows = sum(sizes)
    if not rows:
        dropped = {kind: count for kind, count in inputs.dedup.counts.items() if kind not in ("rows", "kept") and count}
        raise InputError(
            "there is nothing to cluster",
            expected="at least one kept row",
            found="none: " + (", ".join(f"{n:,} {kind}" for kind, n in dropped.items()) or "the pool is empty"),
            where="clustering",
            remedy="see the reasons in quarantine/, relax dedup, or what it excludes (dedup.exclude, target_set.leak)",
        )
    wanted = first_levels(config.levels, rows)
    started = time.monotonic()
    job = _Job(config, out, run, IterationLog())
    levels = [_leaves(job, source, sizes, wanted[0])]
    offsets: Float32Array | None = None
    facts: dict[str, object] = {}
    if config.size_penalty:
        levels[0], offsets, facts = _penalised(job, source, levels[0])
    leaves = np.ones(levels[0].clusters)
    if config.levels == "auto":
        heights = ward_heights(levels[0].centroids, leaves, job.device, job.seed(2))
        wanted = follow_gaps(wanted, heights)
        facts["levels"] = {
            "clusters": wanted,
            "gaps": {str(k): round(rise, 2) for k, rise in clear_gaps(heights).items()},
        }
    fair, repairs = Fairness.of(config, source, out.uri, levels[0].counts.astype(np.float64), run.compute), {}
    for number, k in enumerate(wanted[1:], start=2):
        share = UPPER_SHARE / (len(wanted) - 1)
        levels[-1:] = _upper_level(job, levels[-1], leaves, (number, k), (LEVEL_1_SHARE + share * (number - 2), share))
        if fair.asked:
            levels[-2:], repairs[f"level-{number}"] = _repaired(levels[-2], levels[-1], fair)
        fair = fair.above(levels[-2].parents, levels[-1].clusters)
        leaves = _sums(levels[-2].parents, leaves, levels[-1].clusters)
    if repairs:
        facts["repaired"] = repairs
    for number, level in enumerate(levels, start=1):
        write_level(out.path(f"level-{number}"), level)
    digest = centroid_hash(levels, offsets)
    about: list[LevelInfo] = [
        {"clusters": level.clusters, "wanted": k, "inertia": level.inertia}
        for k, level in zip(wanted, levels, strict=True)
    ]
    info: HierarchyInfo = {
        "blocks": list(source.names),
        "centroid_hash": digest,
        "dimension": source.dimension,
        "levels": about,
    }
    if offsets is not None:
        write_offsets(out.uri, offsets)
        info["offsets"] = True
    storage.write_json(out.path("levels.json"), info)
    storage.write_json(out.path("log.json"), job.log.entries)
    outcome = Outcome(
        counts={"rows": rows, "levels": len(levels), "leaves": levels[0].clusters},
        facts={"centroid_hash": digest, "levels": about, **facts},
    )
    storage.write_json(out.path(ENDED), {"counts": outcome.counts, "facts": outcome.facts})
    seconds = time.monotonic() - started
    run.progress(1.0, f"{levels[0].clusters:,} leaves of {rows:,} rows, {rows / seconds:,.0f} rows/s")
    return _clear(out, outcome)


def _clear(out: StepFolder, outcome: Outcome) -> Outcome:
    """Remove what was kept until the step was done; where a run was killed in the midst of it, the next only does this.

    What is left of these files may lack some that others of them speak of.
    """
    storage.remove(out.path(PARTS))
    storage.remove(out.path(ENDED))
    return outcome


@dataclass(frozen=True)
class _Job:
    """What every level is made with."""

    config: ClusteringConfig
    out: StepFolder
    run: Run
    log: IterationLog

    @property
    def device(self) -> Device:
        return driver_device(self.run.compute)

    def seed(self, level: int) -> int:
        return self.config.seed + SEED_STRIDE * level

    def parts(self, *names: str) -> str:
        """Return the path of something that is kept until the step is done."""
        return self.out.path(PARTS, *names)

    def follow(self, rows: int, most: tuple[int, int], begun: float, share: float) -> OnIteration:
        """Return what logs an iteration of a level and reports it as progress, from `begun` to `begun + share`.

        most: rounds of the level, and iterations of each.
        """
        started, expected = time.monotonic(), most[0] * most[1]

        def follow(turn: int, iteration: Iteration) -> None:
            entry = self.log(turn, iteration)
            done = turn * most[1] + iteration.number
            spent = time.monotonic() - started
            self.run.progress(
                begun + share * min(done / expected, 1),
                f"level {entry['level']}: round {turn}, iteration {iteration.number}, "
                f"inertia {iteration.inertia:.5g}, {rows * done / max(spent, 1e-3):,.0f} rows/s, "
                f"at most {spent * (expected - done) / done:.0f} s to go",
            )

        return follow


def _leaves(job: _Job, source: Source, sizes: list[int], k: int) -> Level:
    """Cluster the rows themselves and write `rows/`."""
    config, run = job.config, job.run
    rows, seed, folder = sum(sizes), job.seed(1), job.parts("level-1")
    max_rows = None if config.max_share is None else max(1, int(config.max_share * rows))
    run.progress(0.0, f"level 1: {rows:,} rows around {k:,} centroids")
    there, shape = worker_device(run.compute), (rows, source.dimension, source.dtype.itemsize, k, config)
    devices = devices_together(*shape, run.compute)
    if devices is None and (group_count(*shape) > 1 or (there.gpu and not job.device.gpu)):

        def progress(done: float, message: str) -> None:
            run.progress(LEVEL_1_SHARE * done, f"level 1: {message}")

        split = SplitLevel(source, config, seed, folder, job.out.uri, run.scratch, there)
        return _level(*fit_split(split, sizes, k, max_rows, run.compute, progress, job.log))
    follow = job.follow(rows, rounds_of(config), 0.0, LEVEL_1_SHARE)
    checkpoint = Checkpoint(folder)
    if devices is not None:
        model = fit_together(source, sizes, k, config, seed, run.compute, devices, follow, checkpoint, max_rows)
    else:
        x = Stacked([source.read(block) for block in source.names], source.dimension)
        model = fit_level(x, k, config, seed, job.device, follow, checkpoint, max_rows)
    first = 0
    for block, size in zip(source.names, sizes, strict=True):
        part = slice(first, first + size)
        write_rows(job.out.uri, block, source.kept(block)[0], model.labels[part], model.distances[part])
        first += size
    counts = np.bincount(model.labels, minlength=len(model.centroids))
    squared = _sums(model.labels, model.distances.astype(np.float64) ** 2, len(counts))
    return _level(model.centroids, counts, squared)


def _penalised(job: _Job, source: Source, level: Level) -> tuple[Level, Float32Array, dict[str, object]]:
    """Assign all rows anew with the penalty of the recipe; return the level, offsets, and facts about the price."""
    job.run.progress(LEVEL_1_SHARE, "level 1: rows assigned by distance and size")
    labelling = Labelling(source, job.parts("penalised"), job.run.scratch, job.out.uri)
    squared = level.radii.astype(np.float64) ** 2 * level.counts
    found = LeafSums(level.counts, squared)
    made = penalise(labelling, level.centroids, found, job.config.size_penalty, job.run.compute)
    after = _level(made.centroids, made.counts, made.squared)
    price = after.inertia / level.inertia - 1 if level.inertia > 0 else 0.0
    largest = {"before": int(level.counts.max()), "after": int(after.counts.max())}
    return after, made.offsets, {"size_penalty": {"largest": largest, "inertia": round(price, 4)}}


def _upper_level(
    job: _Job, below: Level, leaves: Float64Array, wanted: tuple[int, int], progress: tuple[float, float]
) -> tuple[Level, Level]:
    """Group the clusters of a level; return that level with its parents, and theirs.

    leaves: (k,) below each. wanted: the number of the level and of its clusters.
    """
    config, children = job.config, below.centroids
    number, k = wanted
    job.log.level = number
    job.run.progress(progress[0], f"level {number}: {below.clusters:,} centroids around {k:,}")
    upper, checkpoint = Upper(config, job.device), Checkpoint(job.parts(f"level-{number}"))
    follow = job.follow(below.clusters, upper.rounds(below.clusters), *progress)
    held = Children(children, leaves, below.counts.astype(np.float64))
    centroids, parents = upper.fit(held, k, job.seed(number), follow, checkpoint)
    if config.sibling_ratio is not None:
        parents = bound_children(children, parents, centroids, config.sibling_ratio)
    return _joined(below, parents, centroids)


def _repaired(below: Level, above: Level, fair: Fairness) -> tuple[list[Level], dict[str, float]]:
    """Return a level and the one above it with repaired parents, and facts about the repair."""
    centroids = above.centroids.copy()
    parents, facts = fair.repair(below.centroids, below.parents, centroids)
    return list(_joined(below, parents, centroids)), facts


def _joined(below: Level, parents: Int32Array, centroids: Float32Array) -> tuple[Level, Level]:
    """Return a level with these parents, and the level above that they are."""
    children, clusters = below.centroids, len(centroids)
    gaps = (children - centroids[parents]).astype(np.float64)
    squared = _sums(parents, np.einsum("ij,ij->i", gaps, gaps), clusters)
    counts = np.bincount(parents, weights=below.counts, minlength=clusters).astype(np.int64)
    above = _level(centroids, counts, squared, np.bincount(parents, minlength=clusters))
    return Level(children, parents, below.counts, below.radii, below.inertia), above


def _sums(labels: Int32Array, values: Float64Array, k: int) -> Float64Array:
    return np.bincount(labels, weights=values, minlength=k).astype(np.float64)


def _level(
    centroids: Float32Array, counts: Int64Array, squared: Float64Array, children: Int64Array | None = None
) -> Level:
    """Return a level without parents, given rows and summed squared distances of its clusters."""
    radii = np.sqrt(squared / np.maximum(counts if children is None else children, 1)).astype(np.float32)
    return Level(centroids, np.full(len(counts), -1, np.int32), counts, radii, float(squared.sum()))


def cost(config: ClusteringConfig, work: Workload) -> float:
    """Return the CPU-seconds of clustering a pool: a resampled k-means of the rows, and what lies above."""
    rounds = resampled(config.resampling, config.resampling_share)
    below = (work.rows, *work.levels)
    levels = list(zip(below, work.levels, strict=False))
    if config.upper == "k-means":
        return 0.25 + sum(k_means_seconds(rows, clusters, work.dimension, rounds) for rows, clusters in levels)
    upper = sum(ward_seconds(clusters, work.dimension) for clusters, _ in levels[1:])
    upper *= 2 if config.levels == "auto" else 1
    return 0.25 + upper + sum(k_means_seconds(*level, work.dimension, rounds) for level in levels[:1])


CLUSTER = Step(name="cluster", version=10, function=cluster, by_backend=True, by_devices=True, cost=cost)
