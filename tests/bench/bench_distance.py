"""Power of the distance gate, and what transport predicts, on docstrings: `python -m tests.bench.bench_distance`.

Versions of 1,500 rows are drawn at random from the docstrings of this environment. Into some of them a share of rows of
one package is planted. Said: the share of versions that the gate `distance` (to: last-version) calls apart. Then the
rank correlation of the transport from mixtures of packages to a target with the accuracy of a linear model trained on
them (projektor, Kang et al. 2023).
"""

import tempfile
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from evenkeel.infra.dtypes import Float32Array, Int64Array
from evenkeel.tasks.distance.elsewhere import sum_vectors
from evenkeel.tasks.distance.halves import HALVES, frechet_of_halves
from evenkeel.tasks.distance.measures import above_noise, discrepancy, discrepancy_by_noise, frechet_distances
from evenkeel.tasks.distance.space import Features, Space
from evenkeel.tasks.distance.sums import SetSums
from evenkeel.tasks.embed.embedders.tfidf_svd import TfidfSvdEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.signal.toward.sinkhorn import squared_distances, transport
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions.linear_probe import predict

KEPT, TIMES, PACKAGES = 1500, 40, 8
SHARES = (0.0, 0.05, 0.1, 0.2)


def docstrings(folder: Path) -> tuple[Float32Array, np.ndarray]:
    """Return the vectors (n, 64) and packages (n,) of the docstrings of this environment."""
    run = Run(str(folder / "workspace"), "docstrings", folder / "scratch")
    source = SourceConfig(uri="docstrings://", id="id", text="text", groups=["package"])
    ingest = INGEST(ingest_request(source), NoInputs(), run)
    embed = EMBED(TfidfSvdEmbedding(dimension=64), EmbedInputs(ingest), run)
    pool, vectors = Pool.open(ingest), Vectors.open(embed)
    x = np.concatenate([np.asarray(vectors.block(block), np.float32) for block in pool.blocks])
    return x, np.asarray(pool.column("group.package"), str)


def power(x: Float32Array, package: np.ndarray) -> None:
    """Say how often versions with planted rows are called apart from the last one, by mmd and by frechet."""
    rng = np.random.default_rng(0)
    centre = x.mean(axis=0)
    width = float(((x - centre) ** 2).sum(axis=1).mean())
    features = Features.of(Space("docstrings", width, centre, np.eye(x.shape[1], dtype=np.float32)))
    names, counts = np.unique(package, return_counts=True)
    usual = names[np.argsort(-counts)][1 : 1 + PACKAGES]

    def summed(rows: Int64Array) -> SetSums:
        return sum_vectors(x[rows], features)

    print(f"{'planted':>8} {'mmd':>6} {'frechet':>8}   (share of {TIMES} versions of {KEPT:,} rows called apart)")
    for share in SHARES:
        seen = np.zeros(2)
        for turn in range(TIMES):
            last = summed(rng.choice(len(x), KEPT, replace=False)).summary(0)
            mine = np.flatnonzero(package == usual[turn % PACKAGES])
            planted = rng.choice(mine, round(share * KEPT))
            version = summed(np.concatenate([planted, rng.choice(len(x), KEPT - len(planted), replace=False)]))
            found = version.summary(0)
            noise = above_noise(frechet_of_halves(version, 0, range(1, 1 + HALVES), KEPT))
            seen += (
                discrepancy(found, last) > discrepancy_by_noise(found, last),
                frechet_distances([found], last)[0] > noise,
            )
        print(f"{share:8.0%} {seen[0] / TIMES:6.1%} {seen[1] / TIMES:8.1%}", flush=True)


def prediction(x: Float32Array, package: np.ndarray, mixtures: int = 24) -> float:
    """Return the rank correlation of transport to the target with accuracy on it, over random mixtures of packages."""
    rng = np.random.default_rng(1)
    names, counts = np.unique(package, return_counts=True)
    classes = names[np.argsort(-counts)][:PACKAGES]
    rows = np.concatenate([rng.permutation(np.flatnonzero(package == one))[:600] for one in classes])
    label = np.repeat(np.arange(PACKAGES), [min(600, int((package == one).sum())) for one in classes])
    order = rng.permutation(len(rows))
    test, train = order[:1000], order[1000:]
    centroids = x[rows[rng.choice(train, 200, replace=False)]]
    leaf = squared_distances(x[rows], centroids).argmin(axis=1)
    cost, aim = squared_distances(centroids, centroids), np.bincount(leaf[test], minlength=200) / len(test)
    apart, right = [], []
    for _ in range(mixtures):
        weights = rng.dirichlet(np.full(PACKAGES, rng.choice([0.1, 0.5, 2.0, 20.0])))[label[train]] + 1e-9
        chosen = rng.choice(train, 300, replace=False, p=weights / weights.sum())
        apart.append(transport(np.bincount(leaf[chosen], minlength=200) / 300, aim, cost, 0.01).cost)
        found = predict(x[rows[chosen]], label[chosen], x[rows[test]], PACKAGES)
        right.append((found == label[test]).mean())
    return float(spearmanr(apart, right).statistic)


def main() -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as folder:
        x, package = docstrings(Path(folder))
    print(f"{len(x):,} docstrings")
    power(x, package)
    print(f"rank correlation of transport with accuracy: {prediction(x, package):.2f}")


if __name__ == "__main__":
    main()
