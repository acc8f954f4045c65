"""CPU-seconds of signals that read every vector: leverage and isolation forest, beside what the products alone take.

`OMP_NUM_THREADS=1 python -m tests.bench.bench_place_signals [rows] [dimension]` writes its section of the page.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from evenkeel.tasks.signal.isolation import fit_forest, isolation
from evenkeel.tasks.signal.leverage import gram, leverages, whitening
from tests.bench.performance_page import write_section

ROUNDS, BILLION = 3, 1e9


def main() -> None:
    """Measure and write."""
    rows, dimension = (int(one) for one in [*sys.argv[1:], *("16384", "384")[len(sys.argv) - 1 :]])
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(rows, dimension)) * np.linspace(0.2, 2, dimension)).astype(np.float32)
    forest = fit_forest(x[:4096], 100, 0)
    isolation(forest, x[:64])
    whitened = whitening(gram(x), 0.0)
    plain = np.asarray(whitened.matrix, np.float64)
    timed = {
        "leverage: X'X, float64": lambda: gram(x),
        f"leverage: of the rows, {whitened.matrix.dtype}, half of the matrix": lambda: leverages(x, whitened.matrix),
        "for comparison: of the rows, float64, whole matrix": lambda: np.square(x.astype(np.float64) @ plain).sum(
            axis=1
        ),
        "isolation forest, 100 trees": lambda: isolation(forest, x),
    }
    lines = ["| what | µs a row | CPU-h for 1e9 rows |", "| --- | ---: | ---: |"]
    for name, run in timed.items():
        spent = _least(run) / rows
        lines.append(f"| {name} | {1e6 * spent:.2f} | {spent * BILLION / 3600:.2f} |")
    error = np.abs(leverages(x, whitened.matrix) / leverages(x, plain) - 1).max()
    about = f"{rows:,} rows x {dimension}, one thread, the least of {ROUNDS}."
    lines += ["", f"{about} Largest relative error of a leverage: {error:.1g}."]
    write_section(
        "Signals over vectors", "OMP_NUM_THREADS=1 python -m tests.bench.bench_place_signals", "\n".join(lines)
    )


def _least(run: Callable[[], object]) -> float:
    """Return the fewest CPU-seconds that it took."""
    spent = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        run()
        spent.append(time.process_time() - begun)
    return min(spent)


if __name__ == "__main__":
    main()
