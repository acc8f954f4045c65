"""The memory that `evenkeel plan` says a run takes, beside the run: `python -m tests.bench.bench_memory [--rows N]`.

Every size runs with all work in the driver's process, and with every map on two Dask workers, however small; as one
k-means, and in parts of so little memory that there are many. Prints the most that the driver, a worker and a reader of
shards held, and how many times that the plan says.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from evenkeel.flows.plan import plan
from evenkeel.flows.recipe import parse
from evenkeel.flows.running import running
from evenkeel.tasks.estimate.requirements import Requirements
from tests.bench.bench_overhead import CHILD, DIMENSION, SHARDS, make_pool, recipe_over

SIZES = (20_000, 200_000, 600_000)
IN_GROUPS = 0.05  # GiB of one k-means: 200,000 rows take four times that
WORKERS = {"kind": "local", "description": "two workers", "workers": 2, "threads": 1, "memory": "auto"}


class Held(NamedTuple):
    """The most bytes that the driver, a worker and a reader of shards held; worker is 0 where there is none."""

    driver: int
    worker: int
    reader: int

    def within(self, planned: Requirements) -> dict[str, float]:
        """Return how many times the bytes that a process held a plan says, for each process there was."""
        return {name: getattr(planned, name) / held for name, held in self._asdict().items() if held}


@dataclass(frozen=True)
class Source:
    """A source of vectors: rows, numbers in each, shards, and whether the recipe names their column."""

    rows: int
    dimension: int = DIMENSION
    shards: int = SHARDS
    named: bool = False


def measure(folder: Path, source: Source, on_workers: bool, **clustering: Any) -> tuple[Held, Requirements]:
    """Plan and run a source that is made below a folder.

    Raises RuntimeError with what the run said where it failed.
    """
    pool = folder / "pool"
    pool.mkdir(parents=True)
    make_pool(pool, source.rows, source.dimension, source.shards)
    document = recipe_over(pool, folder / "home") | {"compute": "inline"}
    document["source"]["vector"] = "vector" if source.named else None
    document["clustering"] = {"levels": [500, 50], "resampling": 1, **clustering}
    if on_workers:
        (folder / "workers.yaml").write_text(json.dumps(WORKERS | {"inline_below": "0B"}))
        document["compute"] = str(folder / "workers.yaml")
    recipe = parse(document)
    with running(recipe) as run:
        found = plan(recipe, run, probe=False).estimate
    assert found is not None
    with (folder / "said").open("w") as said:
        child = subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(document), "flow"], stdout=said, stderr=said)
        held = _watch(psutil.Process(child.pid))
    if child.wait():
        raise RuntimeError((folder / "said").read_text()[-3000:])
    return held, found.requirements


def _watch(run: psutil.Process) -> Held:
    """Wait until a process ends; return the most bytes that it held, and any worker and reader below it."""
    driver = worker = reader = 0
    while run.is_running() and run.status() != psutil.STATUS_ZOMBIE:
        for process in [run, *run.children(recursive=True)]:
            try:
                held, words = _most(process.pid), " ".join(process.cmdline())
            except (psutil.Error, OSError):  # it has ended meanwhile
                continue
            if process == run:
                driver = max(driver, held)
            elif "spawn_main" in words:
                worker = max(worker, held)
            elif "evenkeel.infra.isolation" in words:
                reader = max(reader, held)
        time.sleep(0.3)
    return Held(driver, worker, reader)


def _most(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    """Measure each size and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--dimension", type=int, default=DIMENSION)
    parser.add_argument("--shards", type=int, default=SHARDS)
    parser.add_argument("--named", action="store_true", help="the recipe names the column of vectors")
    parser.add_argument("--memory-gib", type=float, nargs="+", default=(2.0, IN_GROUPS))
    asked = parser.parse_args()
    for rows, memory_gib, on_workers in product(asked.rows, asked.memory_gib, (False, True)):
        source = Source(rows, asked.dimension, asked.shards, asked.named)
        with tempfile.TemporaryDirectory() as folder:
            held, planned = measure(Path(folder), source, on_workers, memory_gib=memory_gib)
        ratios = held.within(planned).items()
        said = "; ".join(
            f"{name} {getattr(held, name) / 1e6:,.0f} MB, planned {ratio:.2f} of it" for name, ratio in ratios
        )
        how = "two workers" if on_workers else "inline"
        print(f"{rows:,} x {asked.dimension}, a k-means of {memory_gib:g} GiB, {how}: {said}", flush=True)


if __name__ == "__main__":
    main()
