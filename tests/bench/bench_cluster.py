"""k-means against its peers, alternating in one run, every fit in a process of its own on one thread.

    python -m tests.bench.bench_cluster                 # the small set: a few minutes
    python -m tests.bench.bench_cluster --full          # 200,000 x 384 at k = 5,000 and 20,000: hours
    python -m tests.bench.bench_cluster --only nested-200000-5000 --seeds 1

Real embeddings are used where EVENKEEL_BENCH_DATA names a folder with `*.npy` matrices. Results are kept in
docs/performance/cluster.json, case by case, and drawn into docs/PERFORMANCE.md and docs/performance/cluster.svg.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "performance" / "cluster.json"
METHODS = ("evenkeel", "faiss", "scikit-learn", "scikit-learn-intelex", "exact-k-means++")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SMALL = ["real-0-1000", "nested-20000-1000", "zipf-20000-1000", "isotropic-20000-1000", "tail-40000-1000"]
FULL = [f"{pool}-200000-{k}" for k in (5000, 20000) for pool in ("nested", "isotropic", "zipf", "tail")]
ITERATIONS = 12


def pool(name: str, n: int, d: int = 384) -> "np.ndarray":
    """Return (n, d) float32 rows of a synthetic mixture, or the real embeddings."""
    import numpy as np

    rng = np.random.default_rng(7)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    if name == "real":
        files = sorted(Path(os.environ["EVENKEEL_BENCH_DATA"]).glob("*.npy"))
        return np.concatenate([np.load(file) for file in files]).astype(np.float32)
    if name == "isotropic":
        centres = normal(2000, d)
        return centres[rng.integers(2000, size=n)] + np.float32(0.6) * normal(n, d)
    if name in ("zipf", "tail"):
        components = 1000 if name == "zipf" else 20_000
        centres, mass = normal(components, d), 1 / np.arange(1, components + 1)
        return centres[rng.choice(components, size=n, p=mass / mass.sum())] + np.float32(0.6) * normal(n, d)
    centres = np.zeros((1, d), np.float32)
    for children, scale in ((50, 1.0), (20, 0.6), (20, 0.4)):
        centres = (centres[:, None] + np.float32(scale) * normal(len(centres), children, d)).reshape(-1, d)
    mass = rng.pareto(1.2, size=len(centres)) + 0.1
    return centres[rng.choice(len(centres), size=n, p=mass / mass.sum())] + np.float32(0.3) * normal(n, d)


def fit(method: str, x: "np.ndarray", k: int, seed: int) -> "tuple[np.ndarray, float | None]":
    """Return (k, d) centroids and the inertia (None = unknown) of one fit: 12 iterations, or our defaults."""
    if method in ("evenkeel", "exact-k-means++"):
        from evenkeel.tasks.kmeans.fit import kmeans
        from evenkeel.tasks.kmeans.options import Options

        if method == "evenkeel":
            ours = kmeans(x, k, seed=seed, threads=1)
        else:
            exact = Options(ITERATIONS, tolerance=0, precision="exact", seeding="k-means++")
            ours = kmeans(x, k, exact, seed=seed, threads=1)
        return ours.centroids, ours.inertia
    if method == "faiss":
        import faiss

        model = faiss.Kmeans(
            x.shape[1], k, niter=ITERATIONS, seed=seed + 1, max_points_per_centroid=len(x), min_points_per_centroid=1
        )
        model.train(x)
        return model.centroids, None
    if method == "scikit-learn":
        from sklearn.cluster import KMeans
    else:
        from sklearnex.cluster import KMeans
    model = KMeans(k, init="random", n_init=1, max_iter=ITERATIONS, tol=0, random_state=seed)
    model.fit(x)
    return model.cluster_centers_, float(model.inertia_)


def one(method: str, case: str, seed: int) -> None:
    """Fit once in this process and print CPU-seconds, wall, peak memory and inertia as JSON."""
    import warnings

    import numpy as np

    warnings.simplefilter("ignore")
    name, n, k = case.split("-")
    x = pool(name, int(n))
    warm = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
    fit(method, warm, 200, 0)
    Path("/proc/self/clear_refs").write_text("5")
    before, cpu, wall = peak(), time.process_time(), time.monotonic()
    centroids, inertia = fit(method, x, int(k), seed)
    cpu, wall, after = time.process_time() - cpu, time.monotonic() - wall, peak()
    if inertia is None:
        import faiss

        index = faiss.IndexFlatL2(x.shape[1])
        index.add(np.ascontiguousarray(centroids, np.float32))
        inertia = float(np.sum(index.search(x, 1)[0], dtype=np.float64))
    print(json.dumps({"cpu": cpu, "wall": wall, "peak": after, "data": before, "inertia": inertia, "rows": len(x)}))


def peak() -> int:
    """Return the peak resident memory of this process since the last reset, in bytes."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024


def run(cases: Sequence[str], seeds: int, methods: Sequence[str]) -> None:
    """Run every case seed by seed, the methods taking turns, and keep the results as they come."""
    for case in cases:
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        kept[case] = {"machine": machine(), "runs": []}
        for seed in range(seeds):
            for method in methods:
                command = [sys.executable, "-m", "tests.bench.bench_cluster", "--one", method, case, str(seed)]
                done = subprocess.run(
                    command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False, cwd=ROOT
                )
                if done.returncode:
                    print(f"{case} {method}: not run: {done.stderr.strip().splitlines()[-1:]}", flush=True)
                    continue
                found = {"method": method, "seed": seed, **json.loads(done.stdout.splitlines()[-1])}
                kept[case]["runs"].append(found)
                print(case, found, flush=True)
                RESULTS.parent.mkdir(parents=True, exist_ok=True)
                RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


def machine() -> str:
    """Say what this ran on."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?: ?")
    return f"{model.split(':')[1].strip()}, {os.cpu_count()} cores, Python {platform.python_version()}, one thread"


def medians(case: dict[str, Any]) -> dict[str, tuple[float, float, float, float, int]]:
    """Return {method: (inertia, cpu, wall, peak - data, runs)} of a case."""
    out = {}
    for method in METHODS:
        runs = [item for item in case["runs"] if item["method"] == method]
        if runs:
            middle = {key: statistics.median(item[key] for item in runs) for key in ("inertia", "cpu", "wall")}
            extra = statistics.median(item["peak"] - item["data"] for item in runs)
            out[method] = (middle["inertia"], middle["cpu"], middle["wall"], extra, len(runs))
    return out


def table(kept: dict[str, dict[str, Any]]) -> list[str]:
    """Return the results as Markdown tables, one a case."""
    lines = []
    for name, case in kept.items():
        found = medians(case)
        if "evenkeel" not in found:
            continue
        pool_name, _, k = name.split("-")
        rows = case["runs"][0]["rows"]
        lines += [f"**{pool_name}, {rows:,} x 384, k = {int(k):,}** ({case['machine']})", ""]
        lines += [
            "| | inertia | CPU-s | wall s | memory beside the rows | CPU against ours | seeds |",
            "|---|---|---|---|---|---|---|",
        ]
        ours = found["evenkeel"]
        for method, (inertia, cpu, wall, extra, runs) in found.items():
            lines.append(
                f"| {method} | {inertia / ours[0]:.4f} | {cpu:.2f} | {wall:.1f} | {max(extra, 0) / 2**20:,.0f} MiB "
                f"| {cpu / ours[1]:.1f}x | {runs} |"
            )
        lines.append("")
    return lines


def picture(kept: dict[str, dict[str, Any]]) -> None:
    """Draw inertia against CPU-seconds, both relative to ours, one panel a case."""
    import altair as alt
    import pandas as pd

    points = [
        {"case": name, "method": method, "CPU-seconds": cpu, "inertia": inertia / found["evenkeel"][0]}
        for name, case in kept.items()
        if "evenkeel" in (found := medians(case)) and len(found) > 1
        for method, (inertia, cpu, *_) in found.items()
    ]
    chart = (
        alt.Chart(pd.DataFrame(points))
        .mark_point(filled=True, size=90, opacity=0.9)
        .encode(
            x=alt.X("CPU-seconds:Q", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=4)),
            y=alt.Y("inertia:Q", scale=alt.Scale(zero=False), title="inertia (ours = 1)"),
            color=alt.Color("method:N", scale=alt.Scale(domain=list(METHODS)), title=None),
            shape=alt.Shape("method:N", scale=alt.Scale(domain=list(METHODS)), title=None),
        )
        .properties(width=240, height=180)
        .facet(alt.Facet("case:N", title=None), columns=2)
        .resolve_scale(x="independent", y="independent")
        .configure_legend(labelLimit=0)
        .properties(padding={"left": 5, "top": 5, "right": 50, "bottom": 5})
    )
    chart.save(str(RESULTS.with_suffix(".svg")))


def write() -> None:
    """Put tables and picture into docs/PERFORMANCE.md, between its marks."""
    kept = json.loads(RESULTS.read_text())
    picture(kept)
    page = ROOT / "docs" / "PERFORMANCE.md"
    start, end = "<!-- cluster: begin -->", "<!-- cluster: end -->"
    text = page.read_text() if page.exists() else f"# Performance\n\n## Clustering\n\n{start}\n{end}\n"
    head, rest = text.split(start)
    tail = rest.split(end)[1]
    body = "\n".join([start, "", "![inertia against CPU-seconds](performance/cluster.svg)", "", *table(kept), end])
    page.write_text(head + body + tail)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--one", nargs=3)
    parser.add_argument("--write", action="store_true", help="only redraw the page from the results kept")
    options = parser.parse_args()
    if options.one:
        method, case, seed = options.one
        one(method, case, int(seed))
        return
    if not options.write:
        cases = options.only or (FULL if options.full else SMALL)
        usable = [case for case in cases if not case.startswith("real") or "EVENKEEL_BENCH_DATA" in os.environ]
        run(usable, options.seeds, options.methods)
    write()


if __name__ == "__main__":
    main()
