"""Millions of vectors through the whole flow on this machine: wall, processor time and memory of every step.

    python -m tests.bench.bench_vectors [--rows 10000000] [--dimension 64] [--levels 20000 2000 200] [--memory 2]

The pool is a mixture of 5,000 components whose masses fall as 1, 1/2, 1/3, ...; a twentieth of the rows is kept. All
work is done in the driver's process, on all cores. Memory is that of the driver, mapped files included.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from tests.bench.bench_blocks import Spent, run_measured

COMPONENTS, NOISE, ROWS_PER_SHARD = 5000, 0.4, 500_000


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


def main() -> None:
    """Write the pool, run the flow in a process of its own, and print what every step took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--levels", type=int, nargs="+", default=[20_000, 2000, 200])
    parser.add_argument("--memory", type=float, default=2.0, help="GiB that one k-means may take")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "pool").mkdir()
        write_vectors(folder / "pool", asked.rows, asked.dimension)
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
        found = run_measured(folder)
    print(
        f"{asked.rows:,} x {asked.dimension}, leaves {asked.levels[0]:,}, {found['kept']:,} kept: "
        f"{found['wall'] / 60:.1f} minutes on {os.cpu_count()} cores"
    )
    print("| step | CPU-s | driver at most, GB |\n| --- | ---: | ---: |")
    steps = {name: Spent(**values) for name, values in found["steps"].items()}
    for name, one in steps.items():
        print(f"| {name} | {one.cpu:,.1f} | {one.peak / 1e9:.2f} |")
    total, most = sum(one.cpu for one in steps.values()), max(one.peak for one in steps.values())
    print(f"| **all** | {total:,.0f} | {most / 1e9:.2f} |")


if __name__ == "__main__":
    main()
