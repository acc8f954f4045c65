"""The cluster step: kept rows in, a hierarchy of clusters out."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from infra import storage
from infra.errors import InputError
from infra.workspace import StepFolder, StepRef
from tasks.cluster.config import ClusteringConfig
from tasks.cluster.hierarchy import Level, centroid_hash, write_level, write_rows
from tasks.cluster.levels import derive_levels, fit_levels
from tasks.cluster.resample import fit_level
from tasks.dedup.duplicates import Duplicates
from tasks.embed.vectors import Vectors
from tasks.ingest.pool import Pool
from tasks.step import Outcome, Run, Step


def cluster(config: ClusteringConfig, inputs: Mapping[str, StepRef], out: StepFolder, run: Run) -> Outcome:
    """Cluster the kept rows level by level and write the hierarchy and the leaf of every row."""
    pool, vectors = Pool.open(inputs["ingest"]), Vectors.open(inputs["embed"])
    duplicates = Duplicates.open(inputs["dedup"])
    names, row_ids, parts = [], [], []
    for block in pool.blocks:
        ids = pool.table(block.name, ["row_id"])["row_id"].to_numpy()
        kept = duplicates.kept(ids)
        names.append(block.name)
        row_ids.append(ids[kept])
        parts.append(np.asarray(vectors.block(block.name))[kept])
    x = np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
    if not len(x):
        raise InputError("there is nothing to cluster", expected="at least one kept row", found="none")
    wanted = fit_levels(config.levels or derive_levels(len(x)), len(x))
    levels: list[Level] = []
    log: list[dict[str, Any]] = []
    points, leaves = x, None
    for number, k in enumerate(wanted, start=1):
        run.progress((number - 1) / len(wanted), f"level {number}: {len(points):,} rows around {k:,} centroids")
        seed = config.seed + 1_000_003 * number
        model = fit_level(
            points, k, config, seed, run.compute.threads, lambda entry, n=number: log.append({"level": n, **entry})
        )
        sizes = np.bincount(model.labels, minlength=len(model.centroids))
        below = levels[-1].counts if levels else None
        squared = np.bincount(model.labels, weights=model.distances.astype(np.float64) ** 2, minlength=len(sizes))
        if levels:
            levels[-1] = Level(
                levels[-1].centroids, model.labels, levels[-1].counts, levels[-1].radii, levels[-1].inertia
            )
        levels.append(
            Level(
                model.centroids,
                np.full(len(sizes), -1, np.int32),
                np.bincount(model.labels, weights=below, minlength=len(sizes)).astype(np.int64),
                np.sqrt(squared / sizes).astype(np.float32),
                model.inertia,
            )
        )
        if leaves is None:
            leaves = model
        points = model.centroids
    assert leaves is not None
    for number, level in enumerate(levels, start=1):
        write_level(out.path(f"level-{number}"), level)
    first = 0
    for name, ids in zip(names, row_ids, strict=True):
        last = first + len(ids)
        write_rows(out.uri, name, ids, leaves.labels[first:last], leaves.distances[first:last])
        first = last
    info = {
        "blocks": names,
        "centroid_hash": centroid_hash(levels),
        "dimension": int(x.shape[1]),
        "levels": [
            {"clusters": level.clusters, "wanted": k, "inertia": level.inertia}
            for k, level in zip(wanted, levels, strict=True)
        ],
    }
    storage.write_json(out.path("levels.json"), info)
    storage.write_json(out.path("log.json"), log)
    return Outcome(
        counts={"rows": len(x), "levels": len(levels), "leaves": levels[0].clusters},
        facts={"centroid_hash": info["centroid_hash"], "levels": info["levels"]},
    )


CLUSTER = Step(name="cluster", version=1, function=cluster, by_backend=True)
