"""What orchestration costs: the whole flow against the same functions called bare, on 1M x 64 vectors, alternating.

`python -m tests.bench.bench_overhead [--rows N] [--rounds 3]` prints a table and writes it into docs/PERFORMANCE.md.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.performance_page import write_section

DIMENSION, SHARDS = 64, 16
FEW_ROWS = 2_000  # so little work that the difference of flow and functions is the fixed start-up
CHILD = """
import json, sys, time
from evenkeel.infra.environment import set_defaults
set_defaults()
begun = time.monotonic()
from evenkeel.flows.recipe import parse
document, how = json.loads(sys.argv[1]), sys.argv[2]
if __name__ == "__main__":
    import logging
    if how == "flow":
        from evenkeel.flows.curate import curate
        result = curate(parse(document))
        kept, read = result["totals"]["kept"], result["totals"]["read"]
        steps = sum(ref["seconds"] for name, ref in result["steps"].items() if name != "previous")
    else:
        from evenkeel.flows.lineage import resolve_lineage
        from evenkeel.flows.pipeline import cluster_pool, prove_version, stage_version
        from evenkeel.flows.running import running
        from evenkeel.tasks.publish.publish import publish
        from evenkeel.tasks.step import InProcess
        recipe = parse(document)
        with running(recipe) as run:
            lineage, run_step = resolve_lineage(recipe, run.workspace), InProcess(run)
            staged = stage_version(recipe, lineage, cluster_pool(recipe, lineage, run_step), run_step)
            proven = prove_version(recipe, run.workspace, staged, run_step)
            publish(recipe.destination, recipe.dataset, proven.stage, {}, {}, run.workspace)
        kept, read = proven.sample.counts["kept"], proven.ingest.counts["read"]
        steps = sum(ref.seconds for ref in proven.steps().values())
    print(json.dumps({"wall": time.monotonic() - begun, "steps": steps, "kept": kept, "read": read}))
"""


def make_pool(folder: Path, rows: int, dimension: int = DIMENSION, shards: int = SHARDS) -> None:
    """Write `rows` vectors of a Zipf mixture of 2,000 components as Parquet shards."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2000, dimension)).astype(np.float32)
    masses = 1 / np.arange(1, 2001)
    for shard, count in enumerate(np.diff(np.linspace(0, rows, shards + 1).astype(int))):
        topic = rng.choice(2000, count, p=masses / masses.sum())
        vectors = centres[topic] + 0.6 * rng.normal(size=(count, dimension)).astype(np.float32)
        flat = pa.array(vectors.astype(np.float32).ravel())
        table = pa.table(
            {
                "id": [f"{shard}-{row}" for row in range(count)],
                "topic": [f"topic-{one}" for one in topic % 50],
                "vector": pa.FixedSizeListArray.from_arrays(flat, dimension),
            }
        )
        pq.write_table(table, folder / f"shard-{shard:02}.parquet")


def recipe_over(pool: Path, home: Path) -> dict[str, Any]:
    """Return a recipe over a pool of vectors that keeps everything in the folder `home`."""
    return {
        "dataset": "overhead",
        "source": {"uri": str(pool), "groups": ["topic"]},
        "clustering": {"levels": [2000, 200, 20]},
        "sampling": {"target": "5%"},
        "gates": {"suite": "first-version"},
        "destination": {"uri": str(home / "published")},
        "workspace": str(home / "workspace"),
    }


def run_once(how: str, document: dict[str, Any]) -> dict[str, float]:
    """Run the whole way in a process of its own and return its wall and CPU seconds, start-up included."""
    begun, used = time.monotonic(), cpu_seconds()
    command = [sys.executable, "-c", CHILD, json.dumps(document), how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "process": time.monotonic() - begun, "cpu": cpu_seconds() - used}


def cpu_seconds() -> float:
    """Return the processor seconds of all ended children: what other work on the machine does not change."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run both, alternating, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {"bare": [], "flow": []}
    with tempfile.TemporaryDirectory() as folder:
        few = Path(folder) / "few"
        few.mkdir()
        make_pool(few, FEW_ROWS)
        small: dict[str, list[dict[str, float]]] = {"bare": [], "flow": []}
        for number in range(1 + arguments.rounds):  # the first time compiles
            for how, taken in small.items():
                taken.append(run_once(how, recipe_over(few, Path(folder) / f"{how}-few-{number}")))
        pairs = list(zip(small["flow"], small["bare"], strict=True))[1:]
        start = {
            what: statistics.median(flow[what] - bare[what] for flow, bare in pairs) for what in ("process", "cpu")
        }
        print("start-up", start, flush=True)
        pool = Path(folder) / "pool"
        pool.mkdir()
        make_pool(pool, arguments.rows)
        for number in range(arguments.rounds):
            for how in ("bare", "flow"):
                found[how].append(run_once(how, recipe_over(pool, Path(folder) / f"{how}-{number}")))
                print(how, {name: round(value, 1) for name, value in found[how][-1].items()}, flush=True)
    steps = {how: statistics.median(one["steps"] for one in runs) for how, runs in found.items()}
    fixed = {how: statistics.median(one["process"] - one["steps"] for one in runs) for how, runs in found.items()}
    pairs = list(zip(found["flow"], found["bare"], strict=True))
    ratios = {what: [(flow[what] - start[what]) / bare[what] for flow, bare in pairs] for what in start}
    lines = [
        f"{arguments.rows:,} x {DIMENSION} vectors in {SHARDS} shards, source to published version;",
        f"{arguments.rounds} rounds, alternating, fresh processes. Work: the sum of the steps' own time. Fixed:",
        "everything else - imports, the temporary Prefect server, catalog, publishing, shutting down.",
        "",
        "| | process, s | work, s | fixed, s | CPU-s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for how, name in (("bare", "the functions called bare"), ("flow", "the Prefect flow")):
        total, used = (statistics.median(one[what] for one in found[how]) for what in ("process", "cpu"))
        lines.append(f"| {name} | {total:.1f} | {steps[how]:.1f} | {fixed[how]:.1f} | {used:.1f} |")
    lines += [
        "",
        f"Fixed start-up of the flow, measured on {FEW_ROWS:,} rows: {start['cpu']:.1f} CPU-s, "
        f"{start['process']:.1f} s of wall. "
        f"Without it, flow / bare: {statistics.median(ratios['cpu']):.3f} in CPU-seconds "
        f"({', '.join(f'{ratio:.3f}' for ratio in ratios['cpu'])}); in wall seconds, on a machine that is shared, "
        f"{', '.join(f'{ratio:.2f}' for ratio in ratios['process'])}.",
    ]
    write_section("Orchestration", "python -m tests.bench.bench_overhead", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
