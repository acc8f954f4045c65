"""What a round of a mixture costs beside the first run: eight trials of 1 % in a finished clustering.

`python -m tests.bench.bench_mixture [--rows N]` prints a table and writes it into docs/PERFORMANCE.md. Everything runs
in one process, which a small pool has warmed up before: CPU-seconds of that process, bare functions without Prefect.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.mixing import advance
from evenkeel.flows.pipeline import cluster_pool, prove_version, stage_version
from evenkeel.flows.recipe import parse
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.inputs import Inputs
from evenkeel.tasks.publish.publish import publish
from evenkeel.tasks.step import ConfigT, InProcess, InputsT, Run, Step
from tests.bench.bench_overhead import make_pool, recipe_over
from tests.bench.performance_page import write_section

TRIALS = 8
FEW_ROWS = 5_000


class Timed:
    """Runs steps in this process and adds up the CPU-seconds of each by its name."""

    def __init__(self, run: Run) -> None:
        self.inner, self.spent = InProcess(run), dict[str, float]()

    def __call__(self, step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
        """Return the step's output."""
        assert isinstance(inputs, Inputs)
        before = time.process_time()
        found = self.inner(step, config, inputs)
        self.spent[step.name] = self.spent.get(step.name, 0.0) + time.process_time() - before
        return found


def measure(folder: Path, rows: int, strategy: str) -> list[tuple[str, float, Mapping[str, float]]]:
    """Return what the first run and the first round took, in all and by step."""
    pool = folder / "pool"
    pool.mkdir(parents=True)
    make_pool(pool, rows)
    document: dict[str, Any] = recipe_over(pool, folder)
    document["compute"] = "inline"
    document["sampling"] = {"target": "5%", "strategy": strategy}
    trials = {"rounds": 2, "per_round": TRIALS, "rows": "1%"}
    document["mixture"] = {"domains": "group.topic", "rule": "exponentiated", "trials": trials}
    recipe = parse(document)
    run = Run(recipe.workspace, recipe.dataset, folder / "scratch")
    found = list[tuple[str, float, Mapping[str, float]]]()
    before, timed = time.process_time(), Timed(run)
    lineage = resolve_lineage(recipe, run.workspace)
    staged = stage_version(recipe, lineage, cluster_pool(recipe, lineage, timed), timed)
    proven = prove_version(recipe, run.workspace, staged, timed)
    publish(recipe.destination, recipe.dataset, proven.stage, {}, {}, run.workspace)
    found.append(("first run", time.process_time() - before, timed.spent))
    before, timed = time.process_time(), Timed(run)
    state = advance(recipe, run, timed)
    assert len(state.trials) == TRIALS
    found.append((f"a round of {TRIALS} trials", time.process_time() - before, timed.spent))
    return found


def main() -> None:
    """Warm up, measure both strategies, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--strategies", nargs="+", default=["random", "balanced"])
    parser.add_argument("--print", action="store_true", help="do not write to docs/PERFORMANCE.md")
    arguments = parser.parse_args()
    lines = [
        f"{arguments.rows:,} x 64 vectors, 2,000 leaves, 50 domains, trials of 1 %, each strategy in its own folder.",
        "Publishing is in the total. The process was warm: nothing was compiled or imported.",
        "",
        "| strategy | what | CPU-s | of the first run | steps, CPU-s |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for strategy in arguments.strategies:
            measure(Path(folder) / f"few-{strategy}", FEW_ROWS, strategy)
        for strategy in arguments.strategies:
            found = measure(Path(folder) / strategy, arguments.rows, strategy)
            for what, spent, steps in found:
                parts = ", ".join(f"{name} {value:.1f}" for name, value in steps.items() if value >= 0.05)
                lines.append(f"| {strategy} | {what} | {spent:.1f} | {spent / found[0][1]:.1%} | {parts} |")
            print("\n".join(lines[-2:]), flush=True)
    if not arguments.print:
        write_section("A round of a mixture", "python -m tests.bench.bench_mixture", "\n".join(lines))


if __name__ == "__main__":
    main()
