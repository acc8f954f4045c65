"""Upper levels by every method over the same leaves: `python -m tests.bench.bench_upper [POOL ...] [--centroids N]`."""

import argparse
import tempfile
import time

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from evenkeel.tasks.cluster.checkpoint import Checkpoint
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.levels import derive_levels
from evenkeel.tasks.cluster.resample import fit_level
from evenkeel.tasks.cluster.upper import Children, Upper
from evenkeel.tasks.kmeans.options import CPU
from evenkeel.tasks.kmeans.ward import means_of
from tests.bench.balance_pools import POOLS, Pool, labels_of, zipf

METHODS = ("k-means", "spherical", "ward", "auto")
NESTED = [666, 200, 10]


def heavy_tailed() -> Pool:
    """300 components whose rows scatter by Student's t with three degrees of freedom."""
    rng = np.random.default_rng(5)
    tops, y = rng.normal(0, 1, (300, 64)), labels_of(30_000, zipf(300), rng)
    x = tops[y] + 0.3 * rng.standard_t(3, (30_000, 64))
    return Pool("heavy-tailed", "30,000 x 64, 300 components, Student's t", x, y, x[:0], y[:0], 3000)


def uppers(method: str, finest: Children, wanted: list[int]) -> list[np.ndarray]:
    """Return the cluster of every leaf at each level above the first."""
    upper, below = Upper(ClusteringConfig.model_validate({"upper": method}), CPU), finest
    path: np.ndarray = np.arange(len(finest.rows))
    found: list[np.ndarray] = []
    for number, k in enumerate(wanted, start=2):
        with tempfile.TemporaryDirectory() as folder:
            centroids, parents = upper.fit(below, k, 1_000_003 * number, lambda *_: None, Checkpoint(folder))
        leaves = np.bincount(parents, below.leaves, len(centroids)).astype(np.float64)
        rows = np.bincount(parents, below.rows, len(centroids)).astype(np.float64)
        below, path = Children(centroids, leaves, rows), parents[path]
        found.append(path)
    return found


def compare(pool: Pool) -> None:
    """Print how even the levels of a pool are, and how well they agree with its labels."""
    levels = NESTED if pool.name == "nested" else pool.levels or derive_levels(len(pool.x))
    model = fit_level(np.asarray(pool.x, np.float32), levels[0], ClusteringConfig(), 1_000_003)
    rows = np.bincount(model.labels).astype(np.float64)
    finest = Children(model.centroids, np.ones(len(rows)), rows)
    for method in METHODS:
        begun = time.process_time()
        found = uppers(method, finest, levels[1:])
        spent = time.process_time() - begun
        for path in found:
            shares = np.bincount(path, rows) / rows.sum()
            part = shares[shares > 0]
            evenness = -(part * np.log(part)).sum() / np.log(len(shares))
            y = pool.y // 20 if pool.name == "nested" and len(shares) == 10 else pool.y
            agree = [score(y, path[model.labels]) for score in (normalized_mutual_info_score, adjusted_rand_score)]
            print(
                f"| {pool.name} | {len(shares)} | {method} | {shares.max():.3f} | {evenness:.3f} | {agree[0]:.3f} | "
                f"{agree[1]:.3f} | {spent:.1f} |",
                flush=True,
            )


def time_upper(centroids: int) -> None:
    """Print the CPU-seconds of all levels above `centroids` points of a mixture, d = 64."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (max(centroids // 50, 1), 64)).astype(np.float32)
    x = centres[rng.integers(0, len(centres), centroids)] + rng.normal(0, 0.5, (centroids, 64)).astype(np.float32)
    wanted = derive_levels(centroids * 30)[1:]
    begun = time.process_time()
    found = uppers("auto", Children(x, np.ones(centroids), np.full(centroids, 30.0)), wanted)
    spent = time.process_time() - begun
    shares = np.bincount(found[-1]) / centroids
    means = means_of(x, np.ones(centroids), found[0].astype(np.int32))[0]
    error = float(((x - means[found[0]]) ** 2).sum(axis=1).mean())
    print(f"{centroids:,} centroids, levels {wanted}: {spent:.1f} CPU-s, largest {shares.max():.3f}, error {error:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pools", nargs="*")
    parser.add_argument("--centroids", type=int)
    asked = parser.parse_args()
    if asked.centroids:
        time_upper(asked.centroids)
    for name in asked.pools:
        made = heavy_tailed() if name == "heavy-tailed" else POOLS[name]()
        if made is not None:
            compare(made)
