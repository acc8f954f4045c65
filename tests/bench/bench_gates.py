"""What gates and the card cost: `python -m tests.bench.bench_gates [WORKSPACE]`, after `make run` has left a workspace.

Suites over a made profile of many clusters, then the validate and the report step of the newest docstrings run there.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evenkeel.expectations.data_docs import Subject, render_data_docs
from evenkeel.expectations.engine import evaluate
from evenkeel.expectations.suites import SuiteName, suite
from evenkeel.infra import storage
from evenkeel.infra.workspace import StepFolder, StepRef
from evenkeel.tasks.report.config import ReportConfig
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.step import report
from evenkeel.tasks.step import Run
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.step import validate
from tests.bench.performance_page import write_section
from tests.expectations.profiles import filled, tables, zipf

NAMES: tuple[SuiteName, ...] = ("default", "strict")
DATASET = "docstrings"
STEPS = ("ingest", "embed", "dedup", "cluster", "sample", "stage", "measure")


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Return wall and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def profile(clusters: int) -> dict[str, pd.DataFrame]:
    """Return the tables of a version over `clusters` clusters of Zipf sizes, compared with a last version."""
    before = zipf(clusters, 100.0 * clusters)
    after = filled(before, 5 * clusters)
    leaves = pd.DataFrame({"scope": "level-1", "name": np.arange(clusters).astype(object), "before": before})
    leaves = leaves.assign(after=after, planned=after, previous=after, radius=0.5, near_duplicate_rate=0.01)
    shares = tables()["shares"]
    return tables(shares=pd.concat([leaves, shares[shares["scope"] != "level-1"]], ignore_index=True))


def newest(workspace: str, step: str) -> StepRef:
    """Return the newest finished output of a step."""
    found = sorted(Path(workspace, DATASET, step).glob("*/done.json"), key=lambda path: path.stat().st_mtime)
    return StepRef.model_validate(storage.read_json(str(found[-1])))


def with_docs(name: SuiteName, found: dict[str, pd.DataFrame]) -> dict[str, str]:
    """Evaluate a suite and return its Data Docs."""
    return render_data_docs(evaluate(suite(name), found), Subject(DATASET, "version 1"))


def main() -> None:
    """Measure, and write the section of docs/PERFORMANCE.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", nargs="?", default=".evenkeel/workspace")
    workspace = parser.parse_args().workspace
    fresh = [sys.executable, "-c", "import evenkeel.expectations.great"]
    begin = time.perf_counter()
    subprocess.run(fresh, check=True)
    lines = [f"| import of Great Expectations, in a fresh process | {time.perf_counter() - begin:.1f} | | |"]
    evaluate(suite("default"), tables())
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for clusters in (1_000, 100_000):
            found = profile(clusters)
            for name in NAMES:
                wall, cpu = timed(partial(with_docs, name, found))
                bar = "5 s" if clusters == 100_000 else ""
                lines.append(
                    f"| suite {name}, {clusters:,} clusters, with Data Docs | {wall:.1f} | {cpu:.1f} | {bar} |"
                )
        run = Run(folder, DATASET, scratch / "scratch")
        done = {step: newest(workspace, step) for step in STEPS}
        out = StepFolder(folder, DATASET, "validate", "bench")
        wall, cpu = timed(lambda: validate(GatesConfig(), ValidateInputs.of(done), out, run))
        lines.append(
            f"| validate step, docstrings: {done['ingest'].counts['pool']:,} rows | {wall:.1f} | {cpu:.1f} | |"
        )
        done["validate"] = out.finish({}, {}, wall)
        card = StepFolder(folder, DATASET, "report", "bench")
        wall, cpu = timed(lambda: report(ReportConfig(dataset=DATASET), ReportInputs.of(done), card, run))
        size = Path(card.path("card.html")).stat().st_size / 1e6
        what = f"card, docstrings: {done['cluster'].facts['levels'][0]['clusters']:,} clusters, {size:.1f} MB"
        lines.append(f"| {what} | {wall:.1f} | {cpu:.1f} | 10 s, 2 MB |")
    table = "| what | wall s | CPU-s | bar |\n| --- | ---: | ---: | --- |\n" + "\n".join(lines)
    note = (
        "The suites compare with a last version, so every check runs. The validate step also reads the version's texts "
        "for near-duplicates, e-mail, phone and secrets; the suite is the smaller part of it."
    )
    print(table)
    write_section("Gates and card", "make bench-gates", f"{note}\n\n{table}")


if __name__ == "__main__":
    main()
