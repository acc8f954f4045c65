"""Balance of every strategy on labelled pools, written with a picture to docs/BALANCE.md.

    python -m tests.bench.bench_balance [--pools nested,fresh-3] [--strategies density] [--seeds 5] [--no-write]

Every pool runs through the product's own steps. The hidden labels are read by the evaluation alone. EVENKEEL_BENCH_DATA
names the folder of the pool `debian`; without it that pool is left out. What a pool measured is kept in
.evenkeel/bench-balance and taken from there while the code is the same, so a run that was stopped goes on. With some
strategies alone, only their rows in the tables of the pools are written anew.
"""

import argparse
import hashlib
import json
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from evenkeel.expectations.measures import balance
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.hierarchy import Hierarchy
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
from evenkeel.tasks.sample.balanced.rules import rules
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.step import open_problem
from evenkeel.tasks.sample.sweep import sweep
from evenkeel.tasks.step import Run
from tests.bench.balance_page import BASELINES, rewrite_rows, write_page
from tests.bench.balance_pools import POOLS, Pool, write
from tests.bench.fresh_pools import fresh
from tests.sample.pools import inputs_of, sampled

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".evenkeel" / "bench-balance"
CODE = [
    *sorted((ROOT / "tasks").glob("*/**/*.py")),
    *(ROOT / "tests" / "bench" / f"{name}.py" for name in ("bench_balance", "balance_pools", "fresh_pools")),
]
PARTS = ("ingest", "embed", "dedup", "cluster", "sample", "measure", "bench")
FRESH, FRESH_SEEDS = 20, 2
STRATEGIES = [*BASELINES, "closest", "temperature", "density", "grid"]
MEASURES = ("kl", "coverage", "worst", "probe", "knn")


def prepare(pool: Pool, folder: Path) -> tuple[dict[str, Any], Run]:
    """Ingest, embed, deduplicate and cluster a pool with default settings."""
    run = Run(workspace=str(folder / "workspace"), dataset=pool.name, scratch=folder / "scratch")
    inputs = {"ingest": INGEST(ingest_request(SourceConfig(uri=write(pool, folder / pool.name))), NoInputs(), run)}
    inputs["embed"] = EMBED(AutoEmbedding(), EmbedInputs.of(inputs), run)
    inputs["dedup"] = DEDUP(DedupConfig(), DedupInputs.of(inputs), run)
    inputs["cluster"] = CLUSTER(ClusteringConfig(levels=pool.levels), ClusterInputs.of(inputs), run)
    return inputs, run


def evaluate(pool: Pool, rows: np.ndarray) -> dict[str, float]:
    """Return label balance of some rows, and balanced accuracy on the held-out set of models trained on them."""
    counts = np.bincount(pool.y[rows], minlength=int(pool.y.max()) + 1)
    present = np.bincount(pool.y, minlength=len(counts)) > 0
    measured = balance(counts, present)
    mean, scale = pool.x.mean(axis=0), pool.x.std() + 1e-12
    train, test = (pool.x[rows] - mean) / scale, (pool.test_x - mean) / scale
    probe = RidgeClassifier(alpha=1.0).fit(train, pool.y[rows])
    near = KNeighborsClassifier(min(5, len(rows))).fit(train, pool.y[rows])
    return {
        "kl": measured["kl_uniform"],
        "coverage": measured["coverage"],
        "worst": float(counts[present].min()),
        "probe": float(balanced_accuracy_score(pool.test_y, probe.predict(test))),
        "knn": float(balanced_accuracy_score(pool.test_y, near.predict(test))),
    }


def agreement(pool: Pool, inputs: dict[str, Any], run: Run, imbalance: dict[str, float]) -> tuple[float, float, float]:
    """Return how the label-free measure ranks the candidates: Spearman's rho with label KL, best and worst label KL."""
    config = SamplingConfig(target=pool.target)
    problem, _ = open_problem(config, inputs_of(config, inputs, run), run)
    clustered = Hierarchy.open(inputs["cluster"]).rows()
    places = clustered["row_id"].to_numpy().astype(np.int64) & ((1 << 40) - 1)
    table = np.zeros((problem.tree.leaves, int(pool.y.max()) + 1))
    np.add.at(table, (clustered["leaf"].to_numpy(), pool.y[places]), 1.0)
    table /= np.maximum(table.sum(axis=1, keepdims=True), 1)
    kl = {name: balance(allocation.shares @ table)["kl_uniform"] for name, allocation in rules(problem)}
    names = [name for name in kl if name in imbalance]
    rho = spearmanr([imbalance[name] for name in names], [kl[name] for name in names]).statistic
    return float(rho), min(kl.values()), max(kl.values())


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
    pool = fresh(int(name.removeprefix("fresh-"))) if name.startswith("fresh-") else POOLS[name]()
    if pool is None:
        print(f"{name}: left out, EVENKEEL_BENCH_DATA is not set")
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
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in strategies}
    facts: dict[str, Any] = {}
    for name in strategies:
        for seed in range(seeds):
            ref = sampled(
                SamplingConfig.model_validate({"strategy": name, "target": pool.target, "seed": seed}),
                inputs,
                run,
            )
            rows = Selection.open(ref).row_ids().astype(np.int64) & ((1 << 40) - 1)
            for key, value in evaluate(pool, rows).items():
                found[name][key].append(value)
            if name == "balanced":
                facts = dict(ref.facts)
        means = {key: float(np.mean(values)) for key, values in found[name].items()}
        print(f"  {name:12}" + "  ".join(f"{key} {value:.3f}" for key, value in means.items()), flush=True)
    summary = {
        name: {key: (float(np.mean(v)), float(np.std(v))) for key, v in keys.items()} for name, keys in found.items()
    }
    if not facts:
        return {"pool": pool.name, "strategies": summary}
    rho, best, worst = agreement(pool, inputs, run, facts.get("imbalance", {}))
    print(
        f"  chose {facts['chosen']}; rho {rho:.3f}; best candidate {best:.3f}, worst {worst:.3f}; {facts['why']}",
        flush=True,
    )
    swept = []
    if pool.name == "isotropic":
        config = SamplingConfig(target=1)
        swept = sweep(config, inputs_of(config, inputs, run), ["1%", "2%", "5%", "10%", "20%", "50%"], run)
    return {
        "pool": pool.name,
        "about": pool.about,
        "rows": len(pool.x),
        "target": pool.target,
        "strategies": summary,
        "chosen": facts["chosen"],
        "why": facts["why"],
        "rho": rho,
        "best": best,
        "worst": worst,
        "before": balance(np.bincount(pool.y))["kl_uniform"],
        "sweep": swept,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*POOLS, *(f"fresh-{seed}" for seed in range(FRESH))]
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
