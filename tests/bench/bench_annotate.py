"""What annotations cost, and how fast a stage is read: CPU-seconds of each kind, rows per CPU-second of a stage.

python -m tests.bench.bench_annotate [rows] [kinds...]      (10,000,000 rows by default, all of them kept)
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.hashing import hash_identities
from evenkeel.infra.tables import write_table, write_tables
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.config import AnnotationRequest
from evenkeel.tasks.annotate.inputs import AnnotateInputs
from evenkeel.tasks.annotate.kinds.match import Match
from evenkeel.tasks.annotate.kinds.order import Order
from evenkeel.tasks.annotate.kinds.splits import Splits
from evenkeel.tasks.annotate.kinds.stages import Stages
from evenkeel.tasks.annotate.kinds.weights import Weights
from evenkeel.tasks.annotate.step import ANNOTATE
from evenkeel.tasks.cluster.hierarchy import Level, centroid_hash, write_level, write_rows
from evenkeel.tasks.reading.stream import RowStream
from evenkeel.tasks.step import Run

BLOCK, LEAVES, TOPS, LANGUAGES = 1 << 16, 10_000, 100, 50
SCHEDULE = [
    {"name": "warm", "share": 0.3, "strategy": {"name": "temperature", "temperature": 5, "groups": ["language"]}},
    {"name": "main", "share": 0.6},
    {"name": "end", "share": 0.1, "raise": {"language": {"l3": 4}}},
]
KINDS: dict[str, Annotation] = {
    "splits by hash": Splits(test=0.01, validation=0.01),
    "splits by cluster": Splits(by="cluster", test=0.01),
    "splits, 100 clients": Splits(clients=100, alpha=0.3),
    "order ascending": Order(by="loss"),
    "order batches": Order(by="loss", pattern="batches", of="level-2"),
    "weights of clusters": Weights(name="natural", to="pool", features="level-1"),
    "weights, three margins": Weights.model_validate(
        {"name": "even", "margins": {"language": "uniform", "level-2": "uniform", "loss": "pool"}}
    ),
    "match": Match(treated="language == 'l3'", on=["loss"]),
    "stages": Stages.model_validate({"stages": SCHEDULE}),
}


def write_sampled(folder: str, rows: int) -> dict[str, StepRef]:
    """Write a clustered pool, all of whose rows are kept, in the layout of the steps."""
    draw = np.random.default_rng(0)
    names = [f"s00000-b{number:06d}" for number in range(-(-rows // BLOCK))]
    languages = np.array([f"l{number}" for number in range(LANGUAGES)])
    mass = 1 / np.arange(1, LANGUAGES + 1)
    counts = np.zeros(LEAVES, np.int64)

    def selected() -> Iterator[pa.Table]:
        for number, name in enumerate(names):
            row_id = np.arange(number * BLOCK, min((number + 1) * BLOCK, rows), dtype=np.uint64)
            size = len(row_id)
            leaf = draw.integers(0, LEAVES, size).astype(np.int32)
            counts[:] += np.bincount(leaf, minlength=LEAVES)
            table = {
                "row_id": row_id,
                "identity": hash_identities(9, row_id),
                "group.language": languages[draw.choice(LANGUAGES, size, p=mass / mass.sum())],
                "score.loss": draw.normal(size=size).astype(np.float32),
            }
            write_table(f"{folder}/ingest/rows/{name}.parquet", pa.table(table))
            write_rows(f"{folder}/cluster", name, row_id, leaf, np.ones(size, np.float32))
            ones = {"copies": np.ones(size, np.int32), "weight": np.ones(size), "leaf": leaf}
            yield pa.table({"row_id": row_id, **ones}, schema=SELECTED)

    write_tables(f"{folder}/sample/selection.parquet", SELECTED, selected(), 1 << 20)
    sizes = [min(BLOCK, rows - number * BLOCK) for number in range(len(names))]
    blocks = [{"name": name, "shard": 0, "rows": size} for name, size in zip(names, sizes, strict=True)]
    fields = dict.fromkeys(("id", "text", "vector", "dimension", "dtype"))
    info: dict[str, object] = {"read": rows, "rows": rows, "quarantined": 0, "reasons": {}, "payload": {}, **fields}
    storage.write_json(f"{folder}/ingest/pool.json", {**info, "groups": ["language"], "scores": ["loss"]})
    storage.write_json(f"{folder}/ingest/blocks.json", blocks)
    storage.write_json(f"{folder}/ingest/shards.json", [])
    parents = (np.arange(LEAVES) % TOPS).astype(np.int32)
    above = np.bincount(parents, counts, TOPS).astype(np.int64)
    levels = [
        Level(np.zeros((LEAVES, 2), np.float32), parents, counts, np.ones(LEAVES, np.float32), 1.0),
        Level(np.zeros((TOPS, 2), np.float32), np.full(TOPS, -1, np.int32), above, np.ones(TOPS, np.float32), 1.0),
    ]
    for number, level in enumerate(levels, start=1):
        write_level(f"{folder}/cluster/level-{number}", level)
    about = {"levels": [{"inertia": 1.0}] * 2, "blocks": names, "dimension": 2, "centroid_hash": centroid_hash(levels)}
    storage.write_json(f"{folder}/cluster/levels.json", about)
    kept = {"pool": rows, "target": rows, "kept": rows, "copies": rows}
    steps = ("ingest", "embed", "dedup", "cluster", "sample")
    return {
        step: StepRef(step=step, key=step, uri=f"{folder}/{step}", counts=kept if step == "sample" else {})
        for step in steps
    }


SELECTED = pa.schema([("row_id", pa.uint64()), ("copies", pa.int32()), ("weight", pa.float64()), ("leaf", pa.int32())])


def annotate(rows: int, wanted: list[str]) -> None:
    """Print the CPU-seconds of each kind, and the greatest memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        done = write_sampled(folder, rows)
        for name, one in KINDS.items():
            if wanted and not any(part in name for part in wanted):
                continue
            run = Run(f"{folder}/workspace", "bench", Path(folder) / "scratch", Compute(threads=1))
            before = time.process_time()
            ANNOTATE(AnnotationRequest.of(one), AnnotateInputs.of(done), run)
            spent = time.process_time() - before
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"{name:24s} {spent:8.1f} CPU-s of {rows:,} rows {memory:8.2f} GB", flush=True)


def write_version(folder: Path, rows: int, staged: bool) -> None:
    """Write texts as the data files of a version: with stages, these lie together as the stage step sorts them."""
    draw = np.random.default_rng(0)
    words = np.array(["".join(draw.choice(list("abcdefghij"), 7)) for _ in range(5_000)])
    stage = np.sort(draw.choice(3, rows, p=[0.3, 0.6, 0.1]))
    for first in range(0, rows, 50_000):
        part = stage[first : first + 50_000]
        texts = [" ".join(picked) for picked in words[draw.integers(0, len(words), (len(part), 50))]]
        table = {"text": texts, "ek_copies": np.ones(len(part), np.int32)}
        if staged:
            table |= {f"ek_stage_{number}": (part == number).astype(np.int32) for number in range(3)}
        write_table(f"{folder}/part-{first:09d}.parquet", pa.table(table), 10_000)


def read(rows: int) -> None:
    """Print rows per CPU-second of a version as it is, and of its stages, one beside the other, three times."""
    with tempfile.TemporaryDirectory() as plain, tempfile.TemporaryDirectory() as staged:
        write_version(Path(plain), rows, staged=False)
        write_version(Path(staged), rows, staged=True)
        for _ in range(3):
            speeds = [_speed(RowStream(plain))]
            speeds += [_speed(RowStream(staged, stage=f"{number}")) for number in range(3)]
            shares = ", ".join(f"stage {number} {speed / speeds[0]:.2f}" for number, speed in enumerate(speeds[1:]))
            print(f"{speeds[0]:,.0f} rows per CPU-s without stages; of that: {shares}", flush=True)


def _speed(stream: RowStream) -> float:
    before = time.process_time()
    count = sum(len(batch["text"]) for batch in stream.batches())
    return count / (time.process_time() - before)


if __name__ == "__main__":
    amount = int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 10_000_000
    read(min(amount, 200_000))
    annotate(amount, sys.argv[2:])
