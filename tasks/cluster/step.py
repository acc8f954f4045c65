"""The cluster step: kept rows in, a hierarchy of clusters out."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.hierarchy import Level, centroid_hash, write_level, write_rows
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.levels import Log, derive_levels, fit_levels
from evenkeel.tasks.step import Outcome, Run, Step

if TYPE_CHECKING:
    from evenkeel.tasks.cluster.source import Source

SEED_STRIDE = 1_000_003
PARTS = "parts"


def cluster(config: ClusteringConfig, inputs: ClusterInputs, out: StepFolder, run: Run) -> Outcome:
    """Cluster the kept rows level by level; write the levels and the leaf of every row.

    Level 1 is one k-means where the rows fit `memory_gib`, else split; the levels above cluster the centroids below,
    unweighted. Raises InputError where no row is kept.
    """
    from evenkeel.tasks.cluster.checkpoint import Checkpoint
    from evenkeel.tasks.cluster.resample import fit_level
    from evenkeel.tasks.cluster.source import Source
    from evenkeel.tasks.dedup.duplicates import Duplicates
    from evenkeel.tasks.embed.vectors import Vectors
    from evenkeel.tasks.ingest.pool import Pool
    from evenkeel.tasks.kmeans.bounds import bound_children

    vectors = Vectors.open(inputs.embed, run.scratch)
    source = Source(Pool.open(inputs.ingest, run.scratch), vectors, Duplicates.open(inputs.dedup))
    sizes = [len(source.kept(block)[0]) for block in source.names]
    rows = sum(sizes)
    if not rows:
        raise InputError(
            "there is nothing to cluster",
            expected="at least one kept row",
            found="none",
            where="clustering",
            remedy="see the reasons in quarantine/, or relax dedup",
        )
    wanted = fit_levels(config.levels or derive_levels(rows), rows)
    log, started = Log([], level=1), time.monotonic()
    levels = [_leaves(config, source, sizes, wanted[0], out, run, log)]
    for number, k in enumerate(wanted[1:], start=2):
        below = levels[-1]
        log.place["level"] = number
        share = 0.2 / (len(wanted) - 1)
        begun = 0.8 + share * (number - 2)
        run.progress(begun, f"level {number}: {below.clusters:,} centroids around {k:,}")
        model = fit_level(
            below.centroids,
            k,
            config,
            config.seed + SEED_STRIDE * number,
            run.compute.threads,
            _follow(config, below.clusters, run, log, begun, share),
            Checkpoint(out.path(PARTS, f"level-{number}")),
            on_gpu=run.compute.backend == "gpu",
        )
        parents = model.labels
        if config.sibling_ratio is not None:
            parents = bound_children(below.centroids, parents, model.centroids, config.sibling_ratio)
        levels[-1] = Level(below.centroids, parents, below.counts, below.radii, below.inertia)
        gaps = (below.centroids - model.centroids[parents]).astype(np.float64)
        squared = _sums(parents, np.einsum("ij,ij->i", gaps, gaps), len(model.centroids))
        children = np.bincount(parents, minlength=len(model.centroids))
        counts = np.bincount(parents, weights=below.counts, minlength=len(model.centroids)).astype(np.int64)
        levels.append(_level(model.centroids, counts, squared, children))
    for number, level in enumerate(levels, start=1):
        write_level(out.path(f"level-{number}"), level)
    info: dict[str, Any] = {
        "blocks": source.names,
        "centroid_hash": centroid_hash(levels),
        "dimension": vectors.dimension,
        "levels": [
            {"clusters": level.clusters, "wanted": k, "inertia": level.inertia}
            for k, level in zip(wanted, levels, strict=True)
        ],
    }
    storage.write_json(out.path("levels.json"), info)
    storage.write_json(out.path("log.json"), log.entries)
    storage.remove(out.path(PARTS))
    seconds = time.monotonic() - started
    run.progress(1.0, f"{levels[0].clusters:,} leaves of {rows:,} rows, {rows / seconds:,.0f} rows/s")
    return Outcome(
        counts={"rows": rows, "levels": len(levels), "leaves": levels[0].clusters},
        facts={"centroid_hash": info["centroid_hash"], "levels": info["levels"]},
    )


def _leaves(
    config: ClusteringConfig, source: "Source", sizes: list[int], k: int, out: StepFolder, run: Run, log: Log
) -> Level:
    """Cluster the rows themselves and write `rows/`."""
    from evenkeel.tasks.cluster.checkpoint import Checkpoint
    from evenkeel.tasks.cluster.resample import fit_level
    from evenkeel.tasks.cluster.source import Stacked
    from evenkeel.tasks.cluster.split import fit_split, group_count

    rows, dimension, seed = sum(sizes), source.vectors.dimension, config.seed + SEED_STRIDE
    bound = None if config.max_share is None else max(1, int(config.max_share * rows))
    run.progress(0.0, f"level 1: {rows:,} rows around {k:,} centroids")
    if group_count(rows, dimension, k, config) > 1:
        folder = out.path(PARTS, "level-1")
        return _level(
            *fit_split(
                source,
                sizes,
                dimension,
                k,
                config,
                seed,
                out.uri,
                folder,
                run.compute,
                Path(run.scratch),
                lambda done, message: run.progress(0.8 * done, f"level 1: {message}"),
                bound,
                log,
            )
        )
    follow = _follow(config, rows, run, log, 0.0, 0.8)
    on_gpu = run.compute.backend == "gpu"
    x = Stacked([source.read(block) for block in source.names], dimension)
    model = fit_level(
        x, k, config, seed, run.compute.threads, follow, Checkpoint(out.path(PARTS, "level-1")), bound, on_gpu
    )
    first = 0
    for block, size in zip(source.names, sizes, strict=True):
        part = slice(first, first + size)
        write_rows(out.uri, block, source.kept(block)[0], model.labels[part], model.distances[part])
        first += size
    counts = np.bincount(model.labels, minlength=len(model.centroids))
    squared = _sums(model.labels, model.distances.astype(np.float64) ** 2, len(counts))
    return _level(model.centroids, counts, squared)


def _follow(
    config: ClusteringConfig, rows: int, run: Run, log: Log, begun: float, share: float
) -> Callable[[dict[str, Any]], None]:
    """Return what keeps a level's iterations in `log` and tells them as progress, `begun` to `begun` + `share`."""
    expected, started = (config.resampling + 1) * config.iterations, time.monotonic()

    def follow(entry: dict[str, Any]) -> None:
        log(entry)
        done = entry["round"] * config.iterations + entry["iteration"]
        spent = time.monotonic() - started
        run.progress(
            begun + share * min(done / expected, 1),
            f"level {log.place['level']}: round {entry['round']}, iteration {entry['iteration']}, "
            f"inertia {entry['inertia']:.5g}, {rows * done / max(spent, 1e-3):,.0f} rows/s, "
            f"at most {spent * (expected - done) / done:.0f} s to go",
        )

    return follow


def _sums(labels: npt.NDArray[np.int32], values: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    return np.bincount(labels, weights=values, minlength=k).astype(np.float64)


def _level(
    centroids: npt.NDArray[np.float32],
    counts: npt.NDArray[np.int64],
    squared: npt.NDArray[np.float64],
    children: npt.NDArray[np.int64] | None = None,
) -> Level:
    """Return a level without parents, given rows and summed squared distances of its clusters."""
    radii = np.sqrt(squared / np.maximum(counts if children is None else children, 1)).astype(np.float32)
    return Level(centroids, np.full(len(counts), -1, np.int32), counts, radii, float(squared.sum()))


CLUSTER = Step(name="cluster", version=3, function=cluster, by_backend=True)
