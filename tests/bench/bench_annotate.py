"""What annotations cost, and how fast a stage is read: CPU-seconds of each kind, rows per CPU-second of a stage.

python -m tests.bench.bench_annotate [rows] [kinds...]      (10,000,000 rows by default, all of them kept)

Each kind runs in a process of its own. Of all kinds, the table is written to docs/PERFORMANCE.md.
"""

import json
import subprocess
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
from evenkeel.tasks.annotate.kinds.asked import Asked
from evenkeel.tasks.annotate.kinds.epochs import Epochs
from evenkeel.tasks.annotate.kinds.match import Match
from evenkeel.tasks.annotate.kinds.order import Order
from evenkeel.tasks.annotate.kinds.splits import Splits
from evenkeel.tasks.annotate.kinds.stages import Stages
from evenkeel.tasks.annotate.kinds.weights import Weights
from evenkeel.tasks.annotate.step import ANNOTATE
from evenkeel.tasks.cluster.hierarchy import Level, centroid_hash, write_level, write_rows
from evenkeel.tasks.reading.stream import RowStream
from evenkeel.tasks.sample.labelling.options import ASKED
from evenkeel.tasks.step import Run
from tests.bench.performance_page import write_section

BLOCK, LEAVES, TOPS, LANGUAGES = 1 << 16, 10_000, 100, 50
SCHEDULE = [
    {"name": "warm", "share": 0.3, "strategy": {"name": "temperature", "temperature": 5, "groups": ["language"]}},
    {"name": "main", "share": 0.6},
    {"name": "end", "share": 0.1, "raise": {"language": {"l3": 4}}},
]
LIMIT = 60.0  # CPU-seconds for 10,000,000 kept rows
KINDS: dict[str, Annotation] = {
    "splits by hash, to the row": Splits(test=0.01, validation=0.01),
    "splits of whole clusters": Splits(by="cluster", test=0.01),
    "splits, as many rows of each language": Splits(test=0.01, even="group.language"),
    "100 clients over 10,000 clusters": Splits(clients=100, alpha=0.3),
    "stages: temperature, as the version, raised": Stages.model_validate({"stages": SCHEDULE}),
    "order: ascending": Order(by="loss"),
    "order: folding": Order(by="loss", pattern="folding", folds=3),
    "order: batches of one topic": Order(by="loss", pattern="batches", of="level-2"),
    "order: bursts": Order(pattern="bursts", of="level-1", batch=16),
    "epochs: fresh": Epochs(fresh=0.1),
    "weights of 10,000 clusters": Weights(name="natural", to="pool", features="level-1"),
    "weights, three margins": Weights.model_validate(
        {"name": "even", "margins": {"language": "uniform", "level-2": "uniform", "loss": "pool"}}
    ),
    "match": Match(treated="language == 'l3'", on=["loss"]),
    "match, exact in a column": Match(treated="loss > 0.5", on=["tokens"], exact=["language"]),
    "asked: rules that took turns": Asked(),
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
                "tokens": draw.poisson(50, size).astype(np.int32),
            }
            write_table(f"{folder}/ingest/rows/{name}.parquet", pa.table(table))
            write_rows(f"{folder}/cluster", name, row_id, leaf, np.ones(size, np.float32))
            ones = {"copies": np.ones(size, np.int32), "weight": np.ones(size), "leaf": leaf}
            yield pa.table({"row_id": row_id, **ones}, schema=SELECTED)

    write_tables(f"{folder}/sample/selection.parquet", SELECTED, selected(), 1 << 20)
    write_tables(
        f"{folder}/sample/{ASKED}.parquet", WHO, (asked(number, rows) for number in range(len(names))), 1 << 20
    )
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


WHO = pa.schema([("row_id", pa.uint64()), ("asked_by", pa.string())])


def asked(number: int, rows: int) -> pa.Table:
    """Return who asked for the rows of a block: two rules in turn."""
    row_id = np.arange(number * BLOCK, min((number + 1) * BLOCK, rows), dtype=np.uint64)
    return pa.table({"row_id": row_id, "asked_by": np.where(row_id % 2, "anchors:1", "minority:1")}, schema=WHO)


def annotate(rows: int, wanted: list[str]) -> dict[str, dict[str, float]]:
    """Print and return CPU-seconds of each kind, and the greatest memory of its process in GB."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        done = write_sampled(folder, rows)
        (Path(folder) / "done.json").write_text(json.dumps([ref.model_dump(mode="json") for ref in done.values()]))
        for name in KINDS:
            if wanted and not any(part in name for part in wanted):
                continue
            command = [sys.executable, "-m", "tests.bench.bench_annotate", "--one", name, folder]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found[name] = json.loads(told.splitlines()[-1])
            seconds, memory = found[name]["seconds"], found[name]["memory"]
            print(f"{name:46s} {seconds:8.1f} CPU-s of {rows:,} rows {memory:8.2f} GB", flush=True)
    return found


def annotate_one(name: str, folder: str) -> None:
    """Annotate a pool that lies in a folder by one kind, and print CPU-seconds and memory as JSON."""
    refs = [StepRef.model_validate(one) for one in json.loads((Path(folder) / "done.json").read_text())]
    run = Run(f"{folder}/workspace", "bench", Path(folder) / "scratch", Compute(threads=1))
    before = time.process_time()
    ANNOTATE(AnnotationRequest.of(KINDS[name]), AnnotateInputs.of({ref.step: ref for ref in refs}), run)
    about = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    memory = int(about["VmHWM"].split()[0]) / 1e6  # ru_maxrss would be that of the process which started it, if larger
    print(json.dumps({"seconds": time.process_time() - before, "memory": memory}))


def page(rows: int, found: dict[str, dict[str, float]], speeds: list[list[float]]) -> str:
    """Return the section of the page on performance."""
    lines = [f"| {name} | {one['seconds']:.1f} | {one['memory']:.2f} GB |" for name, one in found.items()]
    shares = [[speed / plain for speed in stages] for plain, *stages in speeds]
    medians = ", ".join(f"{one:.2f}" for one in np.median(shares, axis=0))
    most = max(found.values(), key=lambda one: one["seconds"])["seconds"]
    return "\n".join(
        [
            "What it costs to [annotate](TRAINING.md) a version, all rows of the pool kept, 10,000 clusters of 100, 50 "
            "languages; one thread, each kind in a process of its own. "
            f"The most is {most:.0f} CPU-s; the bar is {LIMIT:.0f} for 10,000,000 rows. Pairs and made rows, which "
            "compare vectors of neighbours, are not in it.",
            "",
            f"| {rows:,} kept rows | CPU-s | memory |",
            "| --- | ---: | ---: |",
            *lines,
            "",
            f"200,000 texts of 400 characters, read once as they are and once stage by stage, in turn ({len(speeds)} "
            f"rounds): per processor second the stages of 30, 60 and 10 % of the rows give {medians} times as many "
            f"rows as a version without stages, in the median of the rounds, which go from {np.min(shares):.2f} to "
            f"{np.max(shares):.2f}. Row groups that have nothing of a stage are not read.",
        ]
    )


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


def read(rows: int) -> list[list[float]]:
    """Print and return rows per CPU-second of a version as it is, and of its stages, one beside the other, often."""
    found = []
    with tempfile.TemporaryDirectory() as plain, tempfile.TemporaryDirectory() as staged:
        write_version(Path(plain), rows, staged=False)
        write_version(Path(staged), rows, staged=True)
        for _ in range(15):
            speeds = [_speed(RowStream(plain))]
            speeds += [_speed(RowStream(staged, stage=f"{number}")) for number in range(3)]
            shares = ", ".join(f"stage {number} {speed / speeds[0]:.2f}" for number, speed in enumerate(speeds[1:]))
            found.append(speeds)
            print(f"{speeds[0]:,.0f} rows per CPU-s without stages; of that: {shares}", flush=True)
    return found


def _speed(stream: RowStream) -> float:
    before = time.process_time()
    count = sum(len(batch["text"]) for batch in stream.batches())
    return count / (time.process_time() - before)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        annotate_one(*sys.argv[2:])
        sys.exit()
    amount = int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 10_000_000
    each = read(min(amount, 200_000))
    costs = annotate(amount, sys.argv[2:])
    if not sys.argv[2:]:
        write_section("Annotations", "python -m tests.bench.bench_annotate", page(amount, costs, each))
