"""What another size costs once a pool is curated: a full run, then runs that change nothing but the target.

`python -m tests.bench.bench_target [--rows N] [--levels 100000 3000 100]` prints a table and writes it into
docs/PERFORMANCE.md. Every run is an `evenkeel run` of its own, start-up and publishing included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.bench.bench_overhead import cpu_seconds, make_pool, recipe_over
from tests.bench.performance_page import write_section

TARGETS = ("5%", "10%", "2%")


def curate(recipe: Path, target: str) -> dict[str, Any]:
    """Run the recipe for `target`; return its result, the process's wall and CPU seconds."""
    begun, used = time.monotonic(), cpu_seconds()
    command = [
        str(Path(sys.executable).with_name("evenkeel")),
        "run",
        str(recipe),
        "--set",
        f"sampling.target={target}",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return {**json.loads(done.stdout), "wall": time.monotonic() - begun, "cpu": cpu_seconds() - used}


def main() -> None:
    """Run every target after the other and write what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--levels", type=int, nargs="+", default=[100_000, 3000, 100])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool"
        pool.mkdir()
        make_pool(pool, arguments.rows)
        document = recipe_over(pool, Path(folder))
        document["clustering"]["levels"] = arguments.levels
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(document))
        runs = [(target, curate(recipe, target)) for target in TARGETS]
    full = runs[0][1]
    lines = [
        f"{arguments.rows:,} x 64 vectors, {arguments.levels[0]:,} leaves. The first run does everything, each of the",
        "others finds the pool, its embedding, duplicates and clusters done; all that follows is done again. Process:",
        "with start-up, gates, card and publishing.",
        "",
        "| target | kept | process, s | CPU-s | of the first run's CPU | steps done, s |",
        "| ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    known: set[str] = set()
    for target, found in runs:
        steps = {name: ref for name, ref in found["steps"].items() if name != "previous" and ref["key"] not in known}
        known |= {ref["key"] for ref in steps.values()}
        lines.append(
            f"| {target} | {found['totals']['kept']:,} | {found['wall']:.1f} | {found['cpu']:.1f} "
            f"| {found['cpu'] / full['cpu']:.0%} "
            "| " + ", ".join(f"{name} {ref['seconds']:.1f}" for name, ref in steps.items()) + " |"
        )
    print("\n".join(lines))
    write_section("Another target", "python -m tests.bench.bench_target", "\n".join(lines))


if __name__ == "__main__":
    main()
