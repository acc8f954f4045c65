"""Balance of every strategy on labelled pools, written with a picture to docs/BALANCE.md.

    python tests/bench/bench_balance.py [--pools nested,fresh-3] [--seeds 5] [--no-write]

Every pool runs through the product's own steps. The hidden labels are read by the evaluation alone. EVENKEEL_BENCH_DATA
names the folder of the pool `debian`; without it that pool is left out. What a pool measured is kept in
.evenkeel/bench-balance and taken from there while the code is the same, so a run that was stopped goes on.
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
from balance_pools import POOLS, Pool, write
from fresh_pools import fresh
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from tasks.cluster.config import ClusteringConfig
from tasks.cluster.hierarchy import Hierarchy
from tasks.cluster.step import CLUSTER
from tasks.dedup.config import DedupConfig
from tasks.dedup.step import DEDUP
from tasks.embed.config import AutoEmbedding
from tasks.embed.step import EMBED
from tasks.ingest.config import SourceConfig
from tasks.ingest.source import ingest_request
from tasks.ingest.step import INGEST
from tasks.measure.balance import balance
from tasks.sample.config import SamplingConfig
from tasks.sample.rules import rules
from tasks.sample.selection import Selection
from tasks.sample.step import SAMPLE, open_candidates
from tasks.sample.sweep import draw_sweep, sweep
from tasks.step import Run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
KEPT = ROOT / ".evenkeel" / "bench-balance"
CODE = [
    *sorted((ROOT / "tasks").glob("*/**/*.py")),
    *(ROOT / "tests" / "bench" / f"{name}.py" for name in ("bench_balance", "balance_pools", "fresh_pools")),
]
PARTS = ("ingest", "embed", "dedup", "cluster", "sample", "measure", "bench")
FRESH, FRESH_SEEDS = 20, 2
BASELINES = ["balanced", "random", "flat", "top-down"]
STRATEGIES = [*BASELINES, "closest", "temperature", "density", "grid"]
MEASURES = ("kl", "coverage", "worst", "probe", "knn")
LABELS = {"kl": "label KL", "coverage": "covered", "worst": "smallest", "probe": "linear probe", "knn": "k-NN"}


def prepare(pool: Pool, folder: Path) -> tuple[dict[str, Any], Run]:
    """Ingest, embed, deduplicate and cluster a pool with default settings."""
    run = Run(workspace=str(folder / "workspace"), dataset=pool.name, scratch=folder / "scratch")
    inputs = {"ingest": INGEST(ingest_request(SourceConfig(uri=write(pool, folder / pool.name))), {}, run)}
    inputs["embed"] = EMBED(AutoEmbedding(), inputs, run)
    inputs["dedup"] = DEDUP(DedupConfig(), inputs, run)
    inputs["cluster"] = CLUSTER(ClusteringConfig(levels=pool.levels), inputs, run)
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


def agreement(pool: Pool, inputs: dict[str, Any], run: Run, unevenness: dict[str, float]) -> tuple[float, float, float]:
    """Return how the label-free measure ranks the candidates: Spearman's rho with label KL, best and worst label KL."""
    candidates, _ = open_candidates(SamplingConfig(target=pool.target), inputs, run)
    clustered = Hierarchy.open(inputs["cluster"]).rows()
    places = clustered["row_id"].to_numpy().astype(np.int64) & ((1 << 40) - 1)
    table = np.zeros((candidates.tree.leaves, int(pool.y.max()) + 1))
    np.add.at(table, (clustered["leaf"].to_numpy(), pool.y[places]), 1.0)
    table /= np.maximum(table.sum(axis=1, keepdims=True), 1)
    kl = {name: balance(allocation.shares @ table)["kl_uniform"] for name, allocation in rules(candidates)}
    names = [name for name in kl if name in unevenness]
    rho = spearmanr([unevenness[name] for name in names], [kl[name] for name in names]).statistic
    return float(rho), min(kl.values()), max(kl.values())


def measured(name: str, seeds: int) -> dict[str, Any] | None:
    """Return what a pool measures, from an earlier run of the same code where there is one; None without the data."""
    digest = hashlib.sha256(str(seeds).encode())
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
        result = measure(pool, seeds, Path(folder), BASELINES if name.startswith("fresh-") else STRATEGIES)
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
            ref = SAMPLE(
                SamplingConfig.model_validate({"strategy": name, "target": pool.target, "seed": seed}), inputs, run
            )
            rows = Selection.open(ref).row_ids().astype(np.int64) & ((1 << 40) - 1)
            for key, value in evaluate(pool, rows).items():
                found[name][key].append(value)
            if name == "balanced":
                facts = dict(ref.facts)
        means = {key: float(np.mean(values)) for key, values in found[name].items()}
        print(f"  {name:12}" + "  ".join(f"{key} {value:.3f}" for key, value in means.items()), flush=True)
    rho, best, worst = agreement(pool, inputs, run, facts.get("unevenness", {}))
    print(
        f"  chose {facts['chosen']}; rho {rho:.3f}; best candidate {best:.3f}, worst {worst:.3f}; {facts['why']}",
        flush=True,
    )
    swept = []
    if pool.name == "isotropic":
        swept = sweep(SamplingConfig(target=1), inputs, ["1%", "2%", "5%", "10%", "20%", "50%"], run)
    summary = {
        name: {key: (float(np.mean(v)), float(np.std(v))) for key, v in keys.items()} for name, keys in found.items()
    }
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


def page(results: list[dict[str, Any]], unseen: list[dict[str, Any]], seeds: int) -> str:
    """Return docs/BALANCE.md."""
    lines = [
        "# Balance, measured",
        "",
        "How evenly does each strategy spread over labels that it never saw? Do models trained on them do better?",
        f"Made by `make bench-balance`, {seeds} seeds, default clustering. Losses are shown too.",
        "",
        "![label KL by strategy](balance.svg)",
        "",
        "*label KL*: nats between the labels of the selected rows and the uniform distribution, 0 is perfect.",
        "*covered*: labels with at least one row. *smallest*: rows of the rarest label. *linear probe*, *k-NN*:",
        "accuracy, averaged over labels, of a ridge classifier and of 5 nearest neighbours trained on the selected",
        "rows and tested on a balanced held-out set. Mean over seeds; ± is one standard deviation.",
        "",
        "## In one table",
        "",
        "Label KL; the last two columns are what models gain in accuracy over a random sample of the same size.",
        "",
        "| pool | all rows | random | top-down | flat | **balanced** | linear probe | k-NN |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        given = result["strategies"]
        kl = {name: given[name]["kl"][0] for name in ("random", "top-down", "flat", "balanced")}
        gain = [100 * (given["balanced"][key][0] - given["random"][key][0]) for key in ("probe", "knn")]
        cells = [f"{kl[name]:.3f}" for name in ("random", "top-down", "flat")]
        lines.append(
            f"| {result['pool']} | {result['before']:.3f} | {' | '.join(cells)} | **{kl['balanced']:.3f}** | "
            f"{gain[0]:+.1f} points | {gain[1]:+.1f} points |"
        )
    lines += ["", *verdict(results), "", *justification(results)]
    if unseen:
        lines += ["", *generalisation(unseen)]
    for result in results:
        about = f"{result['about']}. Target {result['target']:,} of {result['rows']:,} rows."
        lines += ["", f"## {result['pool']}", "", about, ""]
        lines += ["| strategy | " + " | ".join(LABELS.values()) + " |", "| --- |" + " --- |" * len(LABELS)]
        for name, keys in sorted(result["strategies"].items(), key=lambda item: item[1]["kl"][0]):
            cells = [
                f"{keys['kl'][0]:.3f} ± {keys['kl'][1]:.3f}",
                f"{keys['coverage'][0]:.1%}",
                f"{keys['worst'][0]:.1f}",
                f"{keys['probe'][0]:.3f} ± {keys['probe'][1]:.3f}",
                f"{keys['knn'][0]:.3f} ± {keys['knn'][1]:.3f}",
            ]
            lines.append(f"| {'**balanced**' if name == 'balanced' else name} | " + " | ".join(cells) + " |")
        lines += ["", f"balanced took `{result['chosen']}`: {result['why']}."]
        if result["sweep"]:
            lines += ["", "![balance and coverage against size](sweep.svg)"]
    return "\n".join(lines) + "\n"


def verdict(results: list[dict[str, Any]]) -> list[str]:
    """Return what was won and what was lost, pool by pool."""
    return ["## Won and lost", "", *tally(results)]


def tally(results: list[dict[str, Any]]) -> list[str]:
    """Return one line per measure and rival: on how many pools the default is no worse, and where it is."""
    lines = []
    for key, label, lower in (("kl", "label KL", True), ("probe", "the linear probe", False), ("knn", "k-NN", False)):
        for rival in ("random", "top-down", "flat"):
            lost = []
            for result in results:
                ours, theirs = (result["strategies"][name][key][0] for name in ("balanced", rival))
                if (ours > theirs) if lower else (ours < theirs):
                    lost.append(f"{result['pool']} ({ours:.3f} against {theirs:.3f})")
            worse = f"; worse on {', '.join(lost)}" if lost else ""
            lines.append(f"- {label}: no worse than {rival} on {len(results) - len(lost)} of {len(results)}{worse}.")
    return lines


def justification(results: list[dict[str, Any]]) -> list[str]:
    """Return how far the label-free measure agrees with the hidden labels."""
    lines = [
        "## Does the label-free measure agree with the labels?",
        "",
        "`balanced` ranks about 45 candidate rules without labels. The rank correlation (Spearman) of that measure",
        "with the label KL that the same candidates reach, and how near the choice comes to the best of them.",
        "",
        "| pool | rank correlation | chosen rule | its label KL | the best candidate's |",
        "| --- | --- | --- | --- | --- |",
    ]
    for result in results:
        lines.append(
            f"| {result['pool']} | {result['rho']:.2f} | `{result['chosen']}` | "
            f"{result['strategies']['balanced']['kl'][0]:.3f} | {result['best']:.3f} |"
        )
    return lines


def generalisation(results: list[dict[str, Any]]) -> list[str]:
    """Return how the default fares on random pools that no rule was made for."""
    lines = [
        "## On pools that no rule was made for",
        "",
        f"{len(results)} pools drawn by chance (`tests/bench/fresh_pools.py`): shape, rows, dimensions, components, "
        "tail, overlap and",
        f"target all follow from a seed. Looked at once, when the code was done. {FRESH_SEEDS} seeds of sampling.",
        "",
        "| pool | kept | random | top-down | flat | **balanced** | linear probe | k-NN | rank correlation |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        given = result["strategies"]
        kl = {name: given[name]["kl"][0] for name in BASELINES}
        gain = [100 * (given["balanced"][key][0] - given["random"][key][0]) for key in ("probe", "knn")]
        cells = [f"{kl[name]:.3f}" for name in ("random", "top-down", "flat")]
        lines.append(
            f"| {result['about']} | {result['target'] / result['rows']:.0%} | {' | '.join(cells)} | "
            f"**{kl['balanced']:.3f}** | {gain[0]:+.1f} points | {gain[1]:+.1f} points | {result['rho']:.2f} |"
        )
    return [*lines, "", *tally(results)]


def picture(results: list[dict[str, Any]], path: Path) -> None:
    """Draw the label KL of every strategy on every pool, relative to random."""
    import altair

    shown = {"balanced": "#1769aa", "flat": "#2a9d8f", "random": "#8a8f98", "top-down": "#d1495b"}
    bars = [
        {"pool": result["pool"], "strategy": name, "kl": result["strategies"][name]["kl"][0]}
        for result in results
        for name in shown
    ]
    chart = (
        altair.Chart(altair.Data(values=bars), width=70, height=200)
        .mark_bar()
        .encode(
            x=altair.X("strategy:N", sort=list(shown), title=None, axis=altair.Axis(labels=False, ticks=False)),
            y=altair.Y("kl:Q", title="label KL (0 = perfectly even)"),
            color=altair.Color(
                "strategy:N", scale=altair.Scale(domain=list(shown), range=list(shown.values())), title=None
            ),
            column=altair.Column("pool:N", sort=[result["pool"] for result in results], title=None),
        )
    )
    chart.save(str(path), format="svg")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*POOLS, *(f"fresh-{seed}" for seed in range(FRESH))]
    parser.add_argument("--pools", default=",".join(everything))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--no-write", action="store_true", help="print only")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="sklearn")
    names = arguments.pools.split(",")
    found = {name: measured(name, FRESH_SEEDS if name.startswith("fresh-") else arguments.seeds) for name in names}
    results = [result for name, result in found.items() if result is not None and not name.startswith("fresh-")]
    unseen = [result for name, result in found.items() if result is not None and name.startswith("fresh-")]
    if not arguments.no_write:
        (DOCS / "BALANCE.md").write_text(page(results, unseen, arguments.seeds))
        picture(results, DOCS / "balance.svg")
        for result in results:
            if result["sweep"]:
                draw_sweep(result["sweep"], DOCS / "sweep.svg")


if __name__ == "__main__":
    main()
