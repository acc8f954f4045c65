"""Finished steps in the layout of docs/ARCHITECTURE.md, made by hand: what STAGE reads, without what writes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from evenkeel.infra import storage
from evenkeel.infra.workspace import StepRef


@dataclass(frozen=True)
class Small:
    """What the made-up pool holds, row by row, beside the references to its steps."""

    refs: dict[str, StepRef]
    rows: pa.Table
    kept: set[int]
    dropped: dict[int, int]
    leaf: np.ndarray


def make(
    folder: Path | str,
    *,
    rows: int = 500,
    shards: int = 3,
    rows_per_block: int = 64,
    leaves: int = 12,
    keep: float = 0.4,
    seed: int = 0,
    extra: dict[str, Any] | None = None,
    width: int = 0,
) -> Small:
    """Write ingest, dedup, cluster and sample outputs of a pool of `rows` rows (and one quarantined) in `folder`."""
    folder, rng = str(folder), np.random.default_rng(seed)
    shard = np.sort(rng.integers(0, shards, rows)).astype(np.int32)
    row = np.concatenate([np.arange((shard == number).sum()) for number in range(shards)]).astype(np.int64)
    row_id = (shard.astype(np.uint64) << np.uint64(40)) | row.astype(np.uint64)
    ids = [f"doc-{number:07d}" for number in range(rows)]
    language = rng.choice(["en", "de", "ja"], rows, p=[0.7, 0.2, 0.1])
    table = pa.table(
        {
            "row_id": row_id,
            "shard": shard,
            "row": row,
            "id": ids,
            "identity": pa.array([xxhash.xxh3_64_intdigest(one.encode()) for one in ids], pa.uint64()),
            "group.language": pa.array(language),
        }
    )
    payload: dict[str, Any] = {
        "id": ids,
        "text": [f"text number {number}" for number in range(rows)],
        "language": language,
    }
    payload.update({name: values[:rows] for name, values in (extra or {}).items()})
    if width:
        payload["blob"] = [bytes(part) for part in rng.integers(0, 256, (rows, width), dtype=np.uint8)]
    theirs = pa.table(payload)
    blocks = []
    for number in range(shards):
        places = np.flatnonzero(shard == number)
        for count, first in enumerate(range(0, len(places), rows_per_block)):
            part, name = places[first : first + rows_per_block], f"s{number:05d}-b{count:04d}"
            _write(f"{folder}/ingest/rows/{name}.parquet", table.take(part))
            _write(f"{folder}/ingest/payload/{name}.parquet", theirs.take(part))
            blocks.append({"name": name, "shard": number, "rows": len(part)})
    bad = pa.table(
        {
            "row_id": pa.array([(7 << 40) + 1], pa.uint64()),
            "shard": pa.array([7], pa.int32()),
            "row": pa.array([1], pa.int64()),
            "id": ["bad"],
            "reason": ["empty text"],
            "detail": [""],
        }
    )
    _write(f"{folder}/ingest/quarantine/s00007.parquet", bad)
    storage.write_json(f"{folder}/ingest/blocks.json", blocks)
    storage.write_json(
        f"{folder}/ingest/shards.json",
        [
            {"number": n, "uri": f"s3://key:hunter2@pool/{n}.parquet?X-Amz-Signature=abc", "name": f"{n}", "bytes": 10}
            | {"sha256": "00" * 32, "rows": int((shard == n).sum()), "quarantined": 0, "reason": ""}
            for n in range(shards)
        ],
    )
    info = {"read": rows + 1, "rows": rows, "quarantined": 1, "id": "id", "text": "text", "vector": None}
    info |= {"dimension": None, "dtype": None, "groups": ["language"], "scores": [], "reasons": {"empty text": 1}}
    storage.write_json(f"{folder}/ingest/pool.json", info | {"payload": {f.name: str(f.type) for f in theirs.schema}})

    order = rng.permutation(rows)
    kept, lost = np.sort(order[: int(rows * keep)]), np.sort(order[int(rows * keep) : int(rows * keep) + rows // 10])
    of = rng.choice(kept, len(lost))
    kinds = np.where(np.arange(len(lost)) % 7 == 0, "excluded", "exact")
    _write(
        f"{folder}/dedup/dropped.parquet",
        pa.table(
            {
                "row_id": row_id[lost],
                "duplicate_of": np.where(kinds == "excluded", row_id[lost], row_id[of]),
                "kind": kinds,
                "similarity": np.ones(len(lost), np.float32),
                "rule": pa.nulls(len(lost), pa.string()),
            }
        ),
    )
    stands, others = np.unique(of[kinds != "excluded"], return_counts=True)
    sizes = (others + 1).astype(np.int32)
    _write(f"{folder}/dedup/groups.parquet", pa.table({"row_id": row_id[stands], "size": sizes}))
    leaf = (rng.zipf(1.5, rows) % leaves).astype(np.int32)
    tops = max(leaves // 4, 1)
    parents = rng.integers(0, tops, leaves).astype(np.int32)
    for level, (size, up) in enumerate([(leaves, parents), (tops, np.full(tops, -1, np.int32))], start=1):
        arrays = {"centroids": np.zeros((size, 2), np.float32), "parents": up}
        arrays |= {"counts": np.ones(size, np.int64), "radii": np.ones(size, np.float32)}
        for name, array in arrays.items():
            with storage.open_write(f"{folder}/cluster/level-{level}/{name}.npy") as stream:
                np.save(stream, array)
    levels = {"levels": [{"inertia": 1.0}, {"inertia": 2.0}], "blocks": [b["name"] for b in blocks]}
    storage.write_json(f"{folder}/cluster/levels.json", levels | {"centroid_hash": f"hash-{seed}", "dimension": 2})
    copies = rng.integers(1, 3, len(kept)).astype(np.int32)
    _write(
        f"{folder}/sample/selection.parquet",
        pa.table({"row_id": row_id[kept], "copies": copies, "weight": rng.random(len(kept)) + 1, "leaf": leaf[kept]}),
        row_group_size=max(100, rows // 10),
    )
    _write(
        f"{folder}/sample/quotas.parquet",
        pa.table({"leaf": np.arange(leaves), "kept": np.bincount(leaf, minlength=leaves)}),
    )
    refs = {
        step: StepRef(step=step, key=f"{step}-{seed}-{rows}-{keep}", uri=f"{folder}/{step}")
        for step in ("ingest", "dedup", "cluster", "sample")
    }
    return Small(refs, table, set(kept.tolist()), dict(zip(lost.tolist(), of.tolist(), strict=True)), leaf)


def _write(uri: str, table: pa.Table, **options: Any) -> None:
    with storage.open_write(uri) as stream:
        pq.write_table(table, stream, **options)
