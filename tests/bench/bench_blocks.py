"""What many blocks cost: one pool of tiny blocks, through every step of the flow, source to published version.

    python -m tests.bench.bench_blocks --blocks 15000 [--compute local]

Prints for each step, as it ends and in a table: CPU-seconds, the most memory the driver held, tasks, and megabytes of
what goes to workers and comes back. `inline` does all work in the driver, with the same calls; `local` sends every map
to two Dask workers, however small, with the scheduler in the driver's process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from distributed.protocol.pickle import dumps

from evenkeel.infra.compute import Compute
from evenkeel.tasks.step import Step

ROWS_PER_BLOCK, BLOCKS_PER_SHARD, TOPICS, WORDS = 8, 50, 40, 12
LEVELS = [120, 12]
REST = "the rest"  # start, plan, lookups, publishing, and what Prefect does


@dataclass
class Spent:
    """What one step took: CPU-seconds of the driver and its processes, and what it asked of the workers."""

    cpu: float = 0.0
    peak: int = 0
    tasks: int = 0
    sent: int = 0
    largest: int = 0


@dataclass
class Meter:
    """Watches the steps of this process: the memory of the driver at its highest, tasks, and sizes of messages."""

    steps: dict[str, Spent] = field(default_factory=dict)
    name: str = REST

    @property
    def now(self) -> Spent:
        """What the step that runs now has taken."""
        return self.steps.setdefault(self.name, Spent())

    def watch(self) -> None:
        """Count from here on, in every step of every flow of this process."""
        meter, execute, run_map, run_reduce = self, Step.execute, Compute.map, Compute.reduce
        self.used = cpu_seconds()

        def watched(step: Any, config: Any, inputs: Any, run: Any) -> Any:
            meter.turn(step.name)
            try:
                return execute(step, config, inputs, run)
            finally:
                meter.turn(REST)

        def mapped(compute: Compute, function: Callable[..., Any], items: Sequence[Any], **how: Any) -> list[Any]:
            meter.ask(function, items, len(items))
            results = run_map(compute, function, items, **how)
            for one in results:
                meter.message(one)
            return results

        def reduced(compute: Compute, function: Any, merge: Any, items: Sequence[Any], **how: Any) -> Any:
            meter.ask(function, items, 2 * len(items) - 1)
            result = run_reduce(compute, function, merge, items, **how)
            meter.message(result)
            return result

        Step.execute = watched  # type: ignore[method-assign, assignment]
        Compute.map = mapped  # type: ignore[method-assign, assignment]
        Compute.reduce = reduced  # type: ignore[method-assign, assignment]

    def turn(self, name: str) -> None:
        """End what ran until now and begin something else."""
        used = cpu_seconds()
        self.now.cpu += used - self.used
        peak = most_memory()
        self.now.peak = max(self.now.peak, peak)
        print(f"{time.strftime('%H:%M:%S')} {self.name}: {used - self.used:.1f} CPU-s, {peak / 1e6:.0f} MB", flush=True)
        self.used, self.name = used, name

    def ask(self, function: object, items: Sequence[object], tasks: int) -> None:
        """Count a map or a reduction: its tasks, and the size of the function and of every item."""
        self.now.tasks += max(tasks, 0)
        self.message(function)
        for item in items:
            self.message(item)

    def message(self, what: object) -> None:
        """Count the size of something that goes to workers or comes back."""
        size = len(dumps(what))
        self.now.sent += size
        self.now.largest = max(self.now.largest, size)


def cpu_seconds() -> float:
    """Return the processor seconds of this process and of its children, those that ended included."""
    here = psutil.Process()
    total = sum(here.cpu_times()[:4])
    for child in here.children(recursive=True):
        try:
            total += sum(child.cpu_times()[:4])
        except psutil.Error:
            continue
    return float(total)


def most_memory() -> int:
    """Return the most bytes that this process held since the last call, and count anew."""
    held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(held.split()[1]) * 1024


def write_source(folder: Path, blocks: int) -> None:
    """Write a pool of so many blocks: texts of topics of very different sizes, with a number, an id and a group."""
    rng = np.random.default_rng(0)
    masses = 1 / np.arange(1, TOPICS + 1)
    words = np.array([f"w{number:04d}" for number in range(TOPICS * WORDS * 4)]).reshape(TOPICS, -1)
    for shard, first in enumerate(range(0, blocks, BLOCKS_PER_SHARD)):
        rows = min(BLOCKS_PER_SHARD, blocks - first) * ROWS_PER_BLOCK
        topic = rng.choice(TOPICS, rows, p=masses / masses.sum())
        texts = [" ".join(words[one][rng.integers(WORDS * 4, size=WORDS)]) for one in topic]
        repeated = rng.random(rows) < 0.05
        texts = [texts[0] if again else text for text, again in zip(texts, repeated, strict=True)]
        columns = {
            "id": [f"{shard}-{row}" for row in range(rows)],
            "text": texts,
            "topic": [f"topic-{one % 8}" for one in topic],
            "loss": rng.random(rows).astype(np.float32),
        }
        pq.write_table(pa.table(columns), folder / f"shard-{shard:05}.parquet")


def recipe_over(pool: Path, home: Path, compute: str) -> dict[str, Any]:
    """Return a recipe that takes every kind of step over a pool of `write_source`, and publishes into `home`."""
    return {
        "dataset": "blocks",
        "source": {
            "uri": str(pool),
            "id": "id",
            "text": "text",
            "groups": ["topic"],
            "scores": ["loss"],
            "rows_per_block": ROWS_PER_BLOCK,
        },
        "signals": [
            {"name": "words", "kind": "text-statistics", "of": "words"},
            {"name": "place", "kind": "rank", "of": "loss", "by": "topic"},
            {"name": "far", "kind": "neighbour-distance", "k": 5, "cells": "clusters"},
        ],
        "filters": [{"drop": "loss > 0.98"}, {"drop": "far above quantile 0.99"}],
        "clustering": {"levels": LEVELS, "resampling": 1},
        "sampling": {"target": "10%"},
        "splits": {"test": "5%"},
        "order": {"by": "loss"},
        "destination": {"uri": str(home / "published")},
        "workspace": str(home / "workspace"),
        "compute": compute,
    }


def measure(blocks: int, compute: str = "inline") -> dict[str, Any]:
    """Run the flow over so many blocks in a process of its own, and return what every step took.

    compute: inline, or local for two Dask workers that every map goes to.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "pool").mkdir()
        write_source(folder / "pool", blocks)
        if compute == "local":
            compute = str(folder / "local.yaml")
            Path(compute).write_text("kind: local\nworkers: 2\nthreads: 1\nmemory: 2GiB\ninline_below: 0MiB\n")
        document = recipe_over(folder / "pool", folder, compute)
        (folder / "recipe.json").write_text(json.dumps(document))
        return run_measured(folder)


def run_measured(folder: Path) -> dict[str, Any]:
    """Curate the recipe of the folder, recipe.json, in a process of its own, and return what every step took."""
    command = [sys.executable, "-m", "tests.bench.bench_blocks", "--child", str(folder)]
    subprocess.run(command, check=True, stdout=sys.stderr, cwd=Path(__file__).parents[2])
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


def curate_measured(folder: Path) -> None:
    """Curate the recipe of the folder in this process, and leave there what each step took."""
    from evenkeel.infra.environment import set_defaults

    set_defaults()
    from evenkeel.flows.curate import curate
    from evenkeel.flows.recipe import parse

    begun, meter = time.monotonic(), Meter()
    meter.watch()
    result = curate(parse(json.loads((folder / "recipe.json").read_text())))
    meter.turn(REST)
    found = {name: vars(one) for name, one in meter.steps.items()}
    totals = {name: int(result["totals"][name]) for name in ("read", "kept")}
    (folder / "found.json").write_text(
        json.dumps({"steps": found, **totals, "version": result["version"], "wall": time.monotonic() - begun})
    )


def table(found: dict[str, Any], blocks: int) -> list[str]:
    """Return a measurement as the lines of a Markdown table."""
    lines = [
        "| step | CPU-s | CPU-ms a block | driver at most, MB | tasks | tasks a block | messages, MB | largest, kB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    total = Spent()
    for name, values in found["steps"].items():
        one = Spent(**values)
        lines.append(_line(name, one, blocks))
        total.cpu, total.peak = total.cpu + one.cpu, max(total.peak, one.peak)
        total.tasks, total.sent = total.tasks + one.tasks, total.sent + one.sent
        total.largest = max(total.largest, one.largest)
    return [*lines, _line("**all**", total, blocks)]


def _line(name: str, one: Spent, blocks: int) -> str:
    shares = f"{one.tasks:,} | {one.tasks / blocks:.1f}"
    sizes = f"{one.sent / 1e6:.1f} | {one.largest / 1e3:,.0f}"
    return f"| {name} | {one.cpu:.1f} | {1e3 * one.cpu / blocks:.2f} | {one.peak / 1e6:.0f} | {shares} | {sizes} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=15_000)
    parser.add_argument("--compute", choices=["inline", "local"], default="inline")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        curate_measured(arguments.child)
        return
    found = measure(arguments.blocks, arguments.compute)
    print(f"{arguments.blocks:,} blocks, {found['read']:,} rows, {found['kept']:,} kept, {arguments.compute}, ", end="")
    print(f"{found['wall'] / 60:.1f} minutes on {os.cpu_count()} cores")
    print("\n".join(table(found, arguments.blocks)))


if __name__ == "__main__":
    main()
