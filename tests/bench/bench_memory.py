"""The memory that `evenkeel plan` says a run takes, beside the run: `python -m tests.bench.bench_memory [--rows N]`.

Every size runs twice: all work in the driver's process, and every map on two Dask workers, however small. Prints what
the plan says of the driver and of a worker, the most that each held, and the ratio.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from evenkeel.flows.plan import plan
from evenkeel.flows.recipe import parse
from evenkeel.flows.running import running
from tests.bench.bench_overhead import CHILD, make_pool, recipe_over

SIZES = (20_000, 200_000, 600_000)
WORKERS = {"kind": "local", "description": "two workers", "workers": 2, "threads": 1, "memory": "auto"}


class Held(NamedTuple):
    """The most bytes that a process held, and those that the plan says it takes: of the driver and of one worker."""

    driver: int
    planned_driver: int
    worker: int
    planned_worker: int


def measure(folder: Path, rows: int, on_workers: bool, **clustering: Any) -> Held:
    """Plan and run a pool of `rows` vectors of 64 numbers below a folder; worker is 0 where all is done in the driver.

    Raises RuntimeError with what the run said where it failed.
    """
    pool = folder / "pool"
    pool.mkdir(parents=True)
    make_pool(pool, rows)
    document = recipe_over(pool, folder / "home") | {"compute": "inline"}
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
        driver, worker = _watch(psutil.Process(child.pid))
    if child.wait():
        raise RuntimeError((folder / "said").read_text()[-3000:])
    return Held(driver, found.requirements.driver, worker if on_workers else 0, found.requirements.worker)


def _watch(run: psutil.Process) -> tuple[int, int]:
    """Wait until a process ends; return the most bytes that it held, and any Dask worker below it."""
    driver = worker = 0
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
        time.sleep(0.3)
    return driver, worker


def _most(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    """Measure each size and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    for rows in parser.parse_args().rows:
        for on_workers in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                held = measure(Path(folder), rows, on_workers)
            said = f"driver {held.driver / 1e6:,.0f} MB, planned {held.planned_driver / held.driver:.2f} of it"
            if held.worker:
                said += f"; worker {held.worker / 1e6:,.0f} MB, planned {held.planned_worker / held.worker:.2f} of it"
            print(f"{rows:,} x 64, {'two workers' if on_workers else 'inline'}: {said}", flush=True)


if __name__ == "__main__":
    main()
