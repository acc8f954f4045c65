"""What `evenkeel plan` says a run takes, against the run: one after the other, on the machine as busy as it is.

`python -m tests.bench.bench_plan [--pools 200000 1000000 docstrings]` prints a table and writes it into
docs/PERFORMANCE.md. A number is a pool of so many rows x 64.
"""

import argparse
import tempfile
from pathlib import Path

from evenkeel.flows.plan import plan
from evenkeel.flows.recipe import load, parse
from evenkeel.flows.running import running
from tests.bench.bench_overhead import make_pool, recipe_over, run_once
from tests.bench.performance_page import write_section


def main() -> None:
    """Plan and run each pool, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", nargs="+", default=["200000", "1000000", "docstrings"])
    lines = [
        "Seconds that the plan expects for a whole run, start included, and those that `evenkeel run` then took.",
        "",
        "| pool | rows expected | rows | seconds expected | seconds | expected / taken |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in parser.parse_args().pools:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            if name == "docstrings":
                places = [f"workspace={home / 'workspace'}", f"destination.uri={home / 'published'}"]
                recipe = load("docstrings", places)
            else:
                (Path(folder) / "pool").mkdir()
                make_pool(Path(folder) / "pool", int(name))
                recipe = parse(recipe_over(Path(folder) / "pool", home))
            with running(recipe) as run:
                expected = plan(recipe, run).estimate
            assert expected is not None
            taken = run_once("flow", recipe.model_dump(mode="json"))
        pool = name if name == "docstrings" else f"{int(name):,} x 64"
        numbers = f"{expected.rows:,} | {taken['read']:,} | {expected.total:.0f} | {taken['process']:.0f}"
        lines.append(f"| {pool} | {numbers} | {expected.total / taken['process']:.2f} |")
        print(lines[-1], {step: round(seconds, 1) for step, seconds in expected.seconds.items()}, flush=True)
    write_section("Plan", "python -m tests.bench.bench_plan", "\n".join(lines))


if __name__ == "__main__":
    main()
