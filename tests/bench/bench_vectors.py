"""Millions of vectors through the whole flow on this machine: wall, processor time and memory of every step.

    python -m tests.bench.bench_vectors [--rows 10000000 ...] [--dimension 64] [--levels 20000 2000 200]

The pool is a mixture of 5,000 components whose masses fall as 1, 1/2, 1/3, ...; a twentieth of the rows is kept. All
work is done in the driver's process, on all cores. Memory is that of the driver, mapped files included.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.bench_blocks import Spent, run_measured
from tests.bench.performance_page import write_section

COMPONENTS, NOISE, ROWS_PER_SHARD = 5000, 0.4, 500_000
SIZES = [10_000_000]


def write_vectors(folder: Path, rows: int, dimension: int) -> None:
    """Write a pool of vectors as .npy shards of float32."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((COMPONENTS, dimension), dtype=np.float32)
    masses = 1 / np.arange(1, COMPONENTS + 1)
    for shard, first in enumerate(range(0, rows, ROWS_PER_SHARD)):
        size = min(ROWS_PER_SHARD, rows - first)
        component = rng.choice(COMPONENTS, size=size, p=masses / masses.sum())
        noise = np.float32(NOISE) * rng.standard_normal((size, dimension), dtype=np.float32)
        np.save(folder / f"shard-{shard:05}.npy", centres[component] + noise)


def measure(rows: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Run the flow over so many vectors in a process of its own; return what every step took."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "pool").mkdir()
        write_vectors(folder / "pool", rows, asked.dimension)
        document = {
            "dataset": "vectors",
            "source": {"uri": str(folder / "pool")},
            "clustering": {"levels": asked.levels, "resampling": 2, "memory_gib": asked.memory},
            "sampling": {"target": "5%"},
            "destination": {"uri": str(folder / "published")},
            "workspace": str(folder / "workspace"),
            "compute": "inline",
        }
        (folder / "recipe.json").write_text(json.dumps(document))
        return run_measured(folder)


def table(found: dict[int, dict[str, Any]]) -> list[str]:
    """Return what every step took at each number of rows, as the lines of a Markdown table."""
    heads = [f"{rows:,} rows, {what}" for rows in found for what in ("CPU-s", "GB")]
    lines = [f"| step | {' | '.join(heads)} |", "| --- |" + " ---: |" * len(heads)]
    steps = {rows: {name: Spent(**one) for name, one in run["steps"].items()} for rows, run in found.items()}
    for name in next(iter(steps.values())):
        cells = [f"{one[name].cpu:,.1f} | {one[name].peak / 1e9:.2f}" for one in steps.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    sums = [
        (sum(spent.cpu for spent in one.values()), max(spent.peak for spent in one.values())) for one in steps.values()
    ]
    return [*lines, f"| **all** | {' | '.join(f'{cpu:,.0f} | {most / 1e9:.2f}' for cpu, most in sums)} |"]


def main() -> None:
    """Run each size, print what every step took, and write it to docs/PERFORMANCE.md where all is as by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--levels", type=int, nargs="+", default=[20_000, 2000, 200])
    parser.add_argument("--memory", type=float, default=2.0, help="GiB that one k-means may take")
    asked = parser.parse_args()
    found = {rows: measure(rows, asked) for rows in asked.rows}
    sizes = "; ".join(
        f"{rows:,} rows in {run['wall'] / 60:.1f} minutes, {run['kept']:,} kept" for rows, run in found.items()
    )
    lines = [f"Vectors of {asked.dimension} numbers, levels {asked.levels}, two rounds of resampling: {sizes}.", ""]
    lines += ["Processor seconds of every step, and the most memory the process held, mapped files included:", ""]
    body = "\n".join([*lines, *table(found)])
    print(body)
    if vars(asked) == vars(parser.parse_args([])):
        write_section("Millions of vectors", "python -m tests.bench.bench_vectors", body)


if __name__ == "__main__":
    main()
