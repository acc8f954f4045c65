"""Small finished steps to sample from, written in the layout of docs/ARCHITECTURE.md."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.flows.pipeline import ClusteredPool, sample_inputs
from evenkeel.infra import storage
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.hierarchy import Level, centroid_hash, write_level, write_rows
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.step import SAMPLE
from evenkeel.tasks.step import InProcess, Run


def make_run(folder: Path) -> Run:
    return Run(workspace=str(folder / "workspace"), dataset="pool", scratch=folder / "scratch")


def sampled(config: SamplingConfig, done: Mapping[str, StepRef], run: Run) -> StepRef:
    """Run the sample step on finished steps, and before it the steps that its strategy reads."""
    return SAMPLE(config, inputs_of(config, done, run), run)


def inputs_of(config: SamplingConfig, done: Mapping[str, StepRef], run: Run) -> SampleInputs:
    """Run the steps that a strategy reads, and return what the sample step builds on."""
    pool = ClusteredPool(ingest=done["ingest"], embed=done["embed"], dedup=done["dedup"], cluster=done["cluster"])
    signals = {name.removeprefix("signals."): ref for name, ref in done.items() if name.startswith("signals.")}
    signals |= {one.name: compute_signal(one, done, InProcess(run)) for one in config.strategy.signals()}
    return sample_inputs(config, replace(pool, signals=signals), InProcess(run))


def write_pool(
    folder: Path,
    vectors: np.ndarray,
    *,
    levels: Sequence[np.ndarray],
    parents: Sequence[np.ndarray] = (),
    groups: Mapping[str, Sequence[str | None]] = {},
    scores: Mapping[str, Sequence[float] | np.ndarray] = {},
    ids: Sequence[str] | None = None,
    tokens: Sequence[int] | np.ndarray | None = None,
    texts: Sequence[str] | None = None,
    drop: Mapping[int, tuple[int, str]] = {},
    quarantined: int = 0,
    block_rows: int = 64,
) -> dict[str, StepRef]:
    """Write ingest, embed, dedup and cluster outputs; levels[0] is the leaf of every row, drop: row -> (of, kind)."""
    rows = len(vectors)
    vectors = np.asarray(vectors, np.float32)
    ids = [f"row-{row}" for row in range(rows)] if ids is None else list(ids)
    row_id = np.arange(rows, dtype=np.uint64)
    identity = np.array([xxhash.xxh3_64_intdigest(name.encode()) for name in ids], np.uint64)
    words = np.full(rows, 10) if tokens is None else np.asarray(tokens)
    kept = np.array([row not in drop for row in range(rows)], bool)
    leaf = np.asarray(levels[0])
    tops = _levels(vectors[kept], leaf[kept], parents)
    distance = np.linalg.norm(vectors - tops[0].centroids[leaf], axis=1)
    blocks = []
    for number, start in enumerate(range(0, rows, block_rows)):
        part = slice(start, min(start + block_rows, rows))
        name = f"s00000-b{number:04d}"
        blocks.append({"name": name, "shard": 0, "rows": part.stop - part.start})
        table = {
            "row_id": pa.array(row_id[part]),
            "shard": pa.array(np.zeros(part.stop - start, np.int32)),
            "row": pa.array(row_id[part].astype(np.int64)),
            "id": pa.array(ids[part]),
            "identity": pa.array(identity[part]),
            "tokens": pa.array(words[part].astype(np.int32)),
            **{f"group.{key}": pa.array(list(values)[part], pa.string()) for key, values in groups.items()},
            **{f"score.{key}": pa.array(list(values)[part], pa.float32()) for key, values in scores.items()},
        }
        _parquet(folder / "ingest" / "rows" / f"{name}.parquet", pa.table(table))
        if texts is not None:
            payload = pa.table({"text": pa.array(list(texts)[part], pa.string())})
            _parquet(folder / "ingest" / "payload" / f"{name}.parquet", payload)
        target = folder / "embed" / "vectors" / f"{name}.npy"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, vectors[part])
        here = np.flatnonzero(kept[part]) + start
        write_rows(str(folder / "cluster"), name, row_id[here], leaf[here].astype(np.int32), distance[here])
    info = {
        "read": rows + quarantined,
        "rows": rows,
        "quarantined": quarantined,
        "reasons": {},
        "payload": {},
        "id": "id",
        "text": None if texts is None else "text",
        "vector": "vector",
        "dimension": vectors.shape[1],
        "dtype": "float32",
        "groups": list(groups),
        "scores": list(scores),
    }
    storage.write_json(str(folder / "ingest" / "pool.json"), info)
    for step in ("ingest", "embed"):
        storage.write_json(str(folder / step / "blocks.json"), blocks)
    storage.write_json(str(folder / "ingest" / "shards.json"), [])
    about = {"dimension": vectors.shape[1], "dtype": "float32", "folder": "vectors"}
    storage.write_json(str(folder / "embed" / "vectors.json"), about)
    storage.write_json(str(folder / "embed" / "embedding.json"), {"method": "column"})
    for number, level in enumerate(tops, start=1):
        write_level(str(folder / "cluster" / f"level-{number}"), level)
    about = {
        "levels": [{"inertia": level.inertia} for level in tops],
        "blocks": [block["name"] for block in blocks],
        "dimension": vectors.shape[1],
        "centroid_hash": centroid_hash(tops),
    }
    storage.write_json(str(folder / "cluster" / "levels.json"), about)
    write_dedup(folder / "dedup", row_id, drop)
    counts = {"ingest": {"read": rows + quarantined, "pool": rows, "quarantined": quarantined}}
    return {
        step: StepRef(step=step, key=f"{step}-{folder.name}", uri=str(folder / step), counts=counts.get(step, {}))
        for step in ("ingest", "embed", "dedup", "cluster")
    }


def _levels(vectors: np.ndarray, leaf: np.ndarray, parents: Sequence[np.ndarray]) -> list[Level]:
    levels, points, member, weight = [], vectors, leaf, np.ones(len(vectors), np.int64)
    ups = [*[np.asarray(up, np.int32) for up in parents], None]
    for up in ups:
        clusters = len(up) if up is not None else int(member.max(initial=-1)) + 1
        counts = np.bincount(member, weight, clusters).astype(np.int64)
        members = np.maximum(np.bincount(member, minlength=clusters), 1)
        sums = np.zeros((clusters, vectors.shape[1]))
        np.add.at(sums, member, points)
        means = (sums / members[:, None]).astype(np.float32)
        squares = ((points - means[member]) ** 2).sum(1)
        radii = np.sqrt(np.bincount(member, squares, clusters) / members).astype(np.float32)
        above = np.full(clusters, -1, np.int32) if up is None else up
        levels.append(Level(means, above, counts, radii, float(squares.sum())))
        points, member, weight = means, above, counts
    return levels


def write_dedup(
    folder: Path, row_id: Sequence[int] | np.ndarray = (), drop: Mapping[int, tuple[int, str]] = {}
) -> StepRef:
    """Write a dedup output that drops the given rows, none by default."""
    rows = sorted(drop)
    dropped = pa.table(
        {
            "row_id": pa.array([row_id[row] for row in rows], pa.uint64()),
            "duplicate_of": pa.array([row_id[drop[row][0]] for row in rows], pa.uint64()),
            "kind": pa.array([drop[row][1] for row in rows], pa.string()),
            "similarity": pa.array([1.0] * len(rows), pa.float32()),
            "rule": pa.nulls(len(rows), pa.string()),
        }
    )
    _parquet(folder / "dropped.parquet", dropped)
    of_dropped = [of for row, (of, kind) in drop.items() if kind != "excluded"]
    representatives = sorted(set(of_dropped))
    sizes = [of_dropped.count(row) + 1 for row in representatives]
    groups = pa.table({"row_id": pa.array(representatives, pa.uint64()), "size": pa.array(sizes, pa.int32())})
    _parquet(folder / "groups.parquet", groups)
    return StepRef(step="dedup", key="dedup", uri=str(folder))


def _parquet(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, write_page_checksum=True)
