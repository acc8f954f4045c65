"""Balance of every strategy on labelled pools, written with a picture to docs/BALANCE.md.

    python -m tests.bench.bench_balance [--pools nested,fresh-3] [--strategies density] [--seeds 5] [--no-write]

Every pool runs through the product's own steps. The hidden labels are read by the evaluation alone. EVENKEEL_BENCH_DATA
names the folder of the pool `debian`, and the pools of a Debian package are fetched once (`registry_pools.py`); what is
not to be had is left out. What a pool measured is kept in
.evenkeel/bench-balance and taken from there while the code is the same, so a run that was stopped goes on. With some
strategies alone, only their rows in the tables of the pools are written anew.
"""

import argparse
import hashlib
import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier

from evenkeel.expectations.measures import balance
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.dedup.config import DedupConfig
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.auto import AutoEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.sweep import sweep
from evenkeel.tasks.step import Run
from tests.bench.balance_ablation import ablations, agreement, candidates, opened
from tests.bench.balance_page import BASELINES, rewrite_rows, write_page
from tests.bench.balance_pools import POOLS, Pool, write
from tests.bench.fresh_pools import fresh
from tests.bench.registry_pools import REGISTRY
from tests.sample.pools import inputs_of, sampled

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".evenkeel" / "bench-balance"
BESIDE = ("balance_ablation", "balance_pools", "fresh_pools", "registry_pools")
CODE = [
    *sorted((ROOT / "tasks").glob("*/**/*.py")),
    *(ROOT / "tests" / "bench" / f"{name}.py" for name in ("bench_balance", *BESIDE)),
]
PARTS = ("ingest", "embed", "dedup", "cluster", "sample", "measure", "bench")
FRESH, FRESH_SEEDS = 20, 2
STRATEGIES = [*BASELINES, "closest", "temperature", "density", "grid"]
NAMED = POOLS | REGISTRY
BY_SHARE = ("overlapping", "digits", "letter", "satellite", "shuttle", "debian")
SHARES = (0.02, 0.05, 0.1, 0.25, 0.5)
MEASURES = ("kl", "coverage", "worst", "probe", "knn")


def prepare(pool: Pool, folder: Path) -> tuple[dict[str, Any], Run]:
    """Ingest, embed, deduplicate and cluster a pool with default settings."""
    run = Run(workspace=str(folder / "workspace"), dataset=pool.name, scratch=folder / "scratch")
    inputs = {"ingest": INGEST(ingest_request(SourceConfig(uri=write(pool, folder / pool.name))), NoInputs(), run)}
    inputs["embed"] = EMBED(AutoEmbedding(), EmbedInputs.of(inputs), run)
    inputs["dedup"] = DEDUP(DedupConfig(), DedupInputs.of(inputs), run)
    inputs["cluster"] = CLUSTER(ClusteringConfig(levels=pool.levels), ClusterInputs.of(inputs), run)
    return inputs, run


@dataclass(frozen=True)
class Trained:
    """Label balance of some rows, and which held-out rows models trained on them tell right: (n,) bool each."""

    kl: float
    coverage: float
    worst: float
    probe: np.ndarray
    knn: np.ndarray


def evaluate(pool: Pool, rows: np.ndarray) -> Trained:
    """Measure the labels of some rows, and train a ridge classifier and 5 nearest neighbours on them."""
    counts = np.bincount(pool.y[rows], minlength=int(pool.y.max()) + 1)
    present = np.bincount(pool.y, minlength=len(counts)) > 0
    found = balance(counts, present)
    mean, scale = pool.x.mean(axis=0), pool.x.std() + 1e-12
    train, test = (pool.x[rows] - mean) / scale, (pool.test_x - mean) / scale
    probe = RidgeClassifier(alpha=1.0).fit(train, pool.y[rows])
    near = KNeighborsClassifier(min(5, len(rows))).fit(train, pool.y[rows])
    return Trained(
        found["kl_uniform"],
        found["coverage"],
        float(counts[present].min()),
        probe.predict(test) == pool.test_y,
        near.predict(test) == pool.test_y,
    )


def accuracy(pool: Pool, right: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the share of held-out rows that are told right, averaged over labels."""
    rows = np.bincount(pool.test_y, weight)
    hits = np.bincount(pool.test_y, right if weight is None else right * weight)
    return float((hits[rows > 0] / rows[rows > 0]).mean())


def gain_of(pool: Pool, ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """Return how much more accurate models of some seeds are than others, and where 95 % of 1,000 bootstraps end.

    ours, theirs: (seeds, n) bool. Both the seeds and the held-out rows, these within each label, are drawn again.
    """
    rng = np.random.default_rng(0)
    gains = []
    order = np.argsort(pool.test_y, kind="stable")
    ends = np.cumsum(np.bincount(pool.test_y))
    first, size = np.repeat(ends - np.diff(ends, prepend=0), np.diff(ends, prepend=0)), np.diff(ends, prepend=0)
    for _ in range(1000):
        drawn = order[(first + rng.random(len(order)) * np.repeat(size, size)).astype(np.int64)]
        weight = np.bincount(drawn, minlength=len(order)).astype(np.float64)
        means = [one[rng.integers(0, len(one), len(one))].mean(axis=0) for one in (ours, theirs)]
        gains.append(accuracy(pool, means[0] - means[1], weight))
    low, high = np.quantile(gains, [0.025, 0.975])
    return accuracy(pool, ours.mean(axis=0) - theirs.mean(axis=0)), float(low), float(high)


def measured(name: str, seeds: int, strategies: list[str]) -> dict[str, Any] | None:
    """Return what a pool measures, from an earlier run of the same code where there is one; None without the data."""
    digest = hashlib.sha256(f"{seeds} {' '.join(strategies)}".encode())
    for path in CODE:
        if path.parent.name in PARTS or path.parent.parent.name in PARTS:
            digest.update(path.read_bytes())
    kept = KEPT / f"{name}-{digest.hexdigest()[:12]}.json"
    if kept.exists():
        result: dict[str, Any] = json.loads(kept.read_text())
        return result
    pool = fresh(int(name.removeprefix("fresh-"))) if name.startswith("fresh-") else NAMED[name]()
    if pool is None:
        print(f"{name}: left out, its data are not to be had")
        return None
    print(f"{name}: {pool.about}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(pool, seeds, Path(folder), strategies)
    KEPT.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(result, default=float))
    return result


def measure(pool: Pool, seeds: int, folder: Path, strategies: list[str]) -> dict[str, Any]:
    """Return the mean and spread of every measure of every strategy on one pool."""
    inputs, run = prepare(pool, folder)
    found: dict[str, list[Trained]] = {}
    facts: dict[str, Any] = {}
    for name in strategies:
        found[name], facts = trained(pool, name, pool.target, seeds, inputs, run)
        print(f"  {name:12}" + "  ".join(f"{key} {mean:.3f}" for key, (mean, _) in summary(pool, found[name]).items()))
    result = {"pool": pool.name, "strategies": {name: summary(pool, one) for name, one in found.items()}}
    if "balanced" not in found:
        return result
    _, facts = trained(pool, "balanced", pool.target, 1, inputs, run)
    problem, table = opened(pool, inputs, run)
    rho, best, worst = agreement(facts.get("imbalance", {}), candidates(problem, table))
    print(
        f"  chose {facts['chosen']}; rho {rho:.3f}; best candidate {best:.3f}, worst {worst:.3f}; {facts['why']}",
        flush=True,
    )
    swept = []
    if pool.name == "isotropic":
        config = SamplingConfig(target=1)
        swept = sweep(config, inputs_of(config, inputs, run), ["1%", "2%", "5%", "10%", "20%", "50%"], run)
    return {
        **result,
        "about": pool.about,
        "rows": len(pool.x),
        "target": pool.target,
        "chosen": facts["chosen"],
        "why": facts["why"],
        "agreement": facts.get("agreement", float("nan")),
        "reference": facts.get("reference"),
        "gains": {key: gains(pool, found["balanced"], found["random"], key) for key in ("probe", "knn")},
        "rho": rho,
        "best": best,
        "worst": worst,
        "before": balance(np.bincount(pool.y))["kl_uniform"],
        "ablations": ablations(problem, table),
        "shares": by_share(pool, inputs, run) if pool.name in BY_SHARE else {},
        "sweep": swept,
    }


def trained(
    pool: Pool, name: str, target: int, seeds: int, inputs: dict[str, Any], run: Run
) -> tuple[list[Trained], dict[str, Any]]:
    """Sample by a strategy with several seeds; return what each sample teaches, and the facts of the last."""
    found, facts = [], {}
    for seed in range(seeds):
        config = SamplingConfig.model_validate({"strategy": name, "target": target, "seed": seed})
        ref = sampled(config, inputs, run)
        found.append(evaluate(pool, Selection.open(ref).row_ids().astype(np.int64) & ((1 << 40) - 1)))
        facts = dict(ref.facts)
    return found, facts


def summary(pool: Pool, found: list[Trained]) -> dict[str, tuple[float, float]]:
    """Return mean and standard deviation over seeds of every measure."""
    values: dict[str, list[float]] = {key: [getattr(one, key) for one in found] for key in MEASURES[:3]}
    values |= {key: [accuracy(pool, getattr(one, key)) for one in found] for key in MEASURES[3:]}
    return {key: (float(np.mean(v)), float(np.std(v))) for key, v in values.items()}


def gains(pool: Pool, ours: list[Trained], theirs: list[Trained], key: str) -> tuple[float, float, float]:
    """Return what a model gains over random samples, with its interval."""
    return gain_of(pool, *(np.array([getattr(one, key) for one in found]) for found in (ours, theirs)))


def by_share(pool: Pool, inputs: dict[str, Any], run: Run) -> dict[str, dict[str, Any]]:
    """Return label KL and gains at other targets, as shares of the pool."""
    result: dict[str, dict[str, Any]] = {}
    for share in SHARES:
        target = round(share * len(pool.x))
        ours, theirs = (trained(pool, name, target, 3, inputs, run)[0] for name in ("balanced", "random"))
        result[f"{share:.0%}"] = {
            "kl": [float(np.mean([one.kl for one in found])) for found in (ours, theirs)],
            **{key: gains(pool, ours, theirs, key) for key in ("probe", "knn")},
        }
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*NAMED, *(f"fresh-{seed}" for seed in range(FRESH))]
    parser.add_argument("--pools", default=",".join(everything))
    parser.add_argument("--strategies", help="these alone, such as density,random")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--no-write", action="store_true", help="print only")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="sklearn")
    alone = arguments.strategies.split(",") if arguments.strategies else None
    results: list[dict[str, Any]] = []
    unseen: list[dict[str, Any]] = []
    for name in arguments.pools.split(","):
        fresh_pool = name.startswith("fresh-")
        strategies = alone or (BASELINES if fresh_pool else STRATEGIES)
        if (result := measured(name, FRESH_SEEDS if fresh_pool else arguments.seeds, strategies)) is not None:
            (unseen if fresh_pool else results).append(result)
    if not arguments.no_write and alone is not None:
        rewrite_rows(results)
    elif not arguments.no_write:
        write_page(results, unseen, (arguments.seeds, FRESH_SEEDS))


if __name__ == "__main__":
    main()
