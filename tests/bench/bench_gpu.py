"""A CUDA device: products, ranking, texts, k-means beside the CPU and other libraries, and a whole run; 8 minutes.

    python -m tests.bench.bench_gpu            what fits 8 minutes, written into docs/PERFORMANCE.md
    python -m tests.bench.bench_gpu --write    only the page, from the figures that are kept

Figures are kept one by one in docs/performance/gpu.json, so that a run that is cut off keeps what it has. Where there
is no device, or no time was left, the page says that a figure is not measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evenkeel.infra.compute import gpu_count
from tests.bench.bench_cluster import pool
from tests.bench.gpu_texts import lines_of, text_rates
from tests.bench.performance_page import write_section

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "performance" / "gpu.json"
SECONDS = 440.0
NONE = "not measured"


class Case(NamedTuple):
    """A pool and how many clusters."""

    rows: int
    dimension: int
    clusters: int

    def __str__(self) -> str:
        return f"{self.rows:,} x {self.dimension}, k = {self.clusters:,}"


SMALL, LARGE, HUGE = Case(200_000, 384, 5_000), Case(1_000_000, 384, 10_000), Case(10_000_000, 128, 50_000)
PRODUCTS = ("float32", "tf32", "tf32x3")
METHODS = ("evenkeel", "evenkeel, CPU", "cuML", "cuVS", "flash-kmeans")
OURS, COMPUTES = METHODS[:2], ("gpu", "local")
FLOW_ROWS = 750_000


def rows_of(case: Case) -> np.ndarray:
    """Return the rows of a case, (n, d) float32; drawn in pieces, so that a large pool takes no more than itself."""
    out = np.empty((case.rows, case.dimension), np.float32)
    base = pool("nested", min(case.rows, 200_000), case.dimension)

    def fill(first: int) -> None:
        part = out[first : first + len(base)]
        part[:] = base[: len(part)]
        if first:
            part += np.float32(0.1) * np.random.default_rng([3, first]).standard_normal(part.shape, np.float32)

    with ThreadPoolExecutor() as threads:
        list(threads.map(fill, range(0, case.rows, len(base))))
    return out


def product_rates(case: Case) -> dict[str, float]:
    """Return TFLOP/s of resident products by kind, and of ranking in TF32 and float32."""
    from evenkeel.tasks.kmeans.device.opening import open_arrays
    from evenkeel.tasks.kmeans.device.ranking import Ranker
    from evenkeel.tasks.kmeans.device.rows import prepare_rows

    arrays = open_arrays()
    rows = prepare_rows(arrays, rows_of(case), None, "euclidean")
    assert rows.x is not None
    points = rows.gather(arrays.put(np.arange(0, case.rows, case.rows // case.clusters)[: case.clusters]))
    work = 2.0 * case.rows * case.dimension * case.clusters / 1e12
    batch = 32_768
    out = arrays.xp.empty((batch, case.clusters), np.float32)

    def products(tf32: bool) -> None:
        for first in range(0, case.rows - batch + 1, batch):
            arrays.matmul(rows.x[first : first + batch], points.T, out, tf32)  # type: ignore[index]

    share = (case.rows // batch) * batch / case.rows
    rates: dict[str, float | None] = {
        f"product, {kind}": share * work / best(partial(products, tf))
        for kind, tf in (("float32", False), ("tf32", True))
    }
    for kind in PRODUCTS:
        ranker = Ranker(arrays, kind)  # type: ignore[arg-type]
        rates[f"ranking, {kind}"] = work / best(partial(ranker.rank, rows, points))
    found = brute_force(rows.x, points)
    rates["ranking, cuVS"] = work / best(found) if found else None
    return {name: rate for name, rate in rates.items() if rate is not None}


def brute_force(x: Any, points: Any) -> Callable[[], object] | None:
    """Return what finds the three nearest points of every row by cuVS, None where that is not installed."""
    try:
        from cuvs.neighbors import brute_force as cuvs
    except ImportError:
        return None
    index = cuvs.build(points, metric="sqeuclidean")
    return lambda: cuvs.search(index, x, 3)


def best(work: Callable[[], object], times: int = 3) -> float:
    """Return the seconds of the fastest of some calls, after one that is not counted."""
    import cupy

    found = []
    for _ in range(times + 1):
        cupy.cuda.runtime.deviceSynchronize()
        started = time.perf_counter()
        work()
        cupy.cuda.runtime.deviceSynchronize()
        found.append(time.perf_counter() - started)
    return min(found[1:])


def level(method: str, x: np.ndarray, k: int) -> tuple[float, float]:
    """Return inertia and seconds of one k-means: ours without resampling, others with 12 iterations.

    The faster of two fits counts on a device: the first compiles kernels and takes memory that the second finds.
    """
    times = []
    for _ in range(1 if method == "evenkeel, CPU" else 2):
        started = time.perf_counter()
        found = fit(method, x, k)
        times.append(time.perf_counter() - started)
    return found(), min(times)


def fit(method: str, x: np.ndarray, k: int) -> Callable[[], float]:
    """Cluster; return what tells the inertia."""
    if method.startswith("evenkeel"):
        from evenkeel.tasks.cluster.config import ClusteringConfig
        from evenkeel.tasks.cluster.resample import fit_level
        from evenkeel.tasks.kmeans.options import Device

        device = Device(gpu=method == "evenkeel")
        ours = fit_level(x, k, ClusteringConfig(resampling=0), seed=0, device=device)
        return lambda: ours.inertia
    import cupy

    there = cupy.asarray(x)
    if method == "cuML":
        from cuml.cluster import KMeans

        model = KMeans(n_clusters=k, init="k-means||", max_iter=12, n_init=1, output_type="cupy", random_state=0)
        centroids = model.fit(there).cluster_centers_
    elif method == "cuVS":
        from cuvs.cluster import kmeans as cuvs_kmeans

        centroids = cupy.asarray(cuvs_kmeans.fit(cuvs_kmeans.KMeansParams(n_clusters=k, max_iter=12), there)[0])
    else:
        import torch

        data = torch.as_tensor(there, device="cuda")[None]
        centroids = cupy.asarray(
            import_module("flash_kmeans").batch_kmeans_Euclid(data, n_clusters=k, max_iters=12)[1][0]
        )
    cupy.cuda.runtime.deviceSynchronize()
    return lambda: inertia(there, centroids)


def inertia(x: Any, centroids: Any) -> float:
    """Return the summed squared distance of rows on the device to the nearest of some centroids there."""
    from evenkeel.tasks.kmeans.device.opening import open_arrays
    from evenkeel.tasks.kmeans.device.ranking import Ranker
    from evenkeel.tasks.kmeans.device.rows import prepare_rows

    arrays = open_arrays()
    rows = prepare_rows(arrays, arrays.get(x), None, "euclidean")
    points = arrays.put(arrays.get(centroids).astype(np.float32) - rows.frame.shift)
    return float(Ranker(arrays, "tf32").rank(rows, points).gaps[:, 0].astype(np.float64).sum())


def write_shards(folder: Path, rows: int) -> None:
    """Write a pool of vectors in Parquet, 125,000 to a shard."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    shard, x = 125_000, rows_of(Case(rows, 384, 1))
    folder.mkdir()
    for first in range(0, rows, shard):
        part = x[first : first + shard]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), 384)
        table = pa.table({"id": np.arange(first, first + len(part)), "vector": vectors})
        pq.write_table(table, folder / f"{first:09d}.parquet", row_group_size=25_000)


def whole_run(compute: str, pool: Path) -> dict[str, float]:
    """Return the seconds of `evenkeel run` over a pool of vectors, and of its steps."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = {
            "dataset": "gpu",
            "compute": compute,
            "source": {"uri": str(pool), "id": "id", "vector": "vector"},
            "dedup": {"exact": "off"},
            "sampling": {"strategy": "balanced", "target": "10%"},
            "destination": {"uri": f"{folder}/out"},
            "workspace": f"{folder}/workspace",
        }
        place = Path(folder) / "recipe.yaml"
        place.write_text(json.dumps(recipe))
        started = time.perf_counter()
        command = [sys.executable, "-m", "evenkeel.flows.cli.main", "run", str(place)]
        subprocess.run(command, check=True, cwd=ROOT, timeout=150)
        spent = time.perf_counter() - started
        done = [json.loads(file.read_text()) for file in Path(folder, "workspace").rglob("done.json")]
        return {"all": spent, **{step["step"]: step["seconds"] for step in done}}


def measure(kept: dict[str, Any], wanted: list[str], seconds: float) -> None:
    """Measure what time is left for, the figures that matter most first; every one is kept at once.

    wanted: parts of the names of what is measured; none = all. Other libraries run in a process of their own, which is
    ended after a minute.
    """
    ends = time.monotonic() + seconds

    def keep(name: str, work: Callable[[], Any], needs: float) -> None:
        if wanted and not any(one in name for one in wanted):
            return
        if time.monotonic() + needs > ends:
            print(f"{name}: no time left", flush=True)
            return
        try:
            kept[name] = work()
        except Exception as error:  # a library that is not installed, or fails, must not end the others' figures
            kept[name] = f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        print(name, kept[name], flush=True)
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")

    kept["machine"] = machine()
    kept.pop("note", None)
    keep("rates", partial(product_rates, SMALL), 10)
    for backend in ("gpu", "cpu"):
        keep(f"texts: {backend}", partial(text_rates, backend), 30)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").exists() else None) as folder:
        for case in (SMALL, LARGE, HUGE):
            methods = [one for one in METHODS if not wanted or any(part in f"{case}: {one}" for part in wanted)]
            if case == HUGE:
                methods = [one for one in methods if one in OURS]
            if not methods:
                continue
            x = rows_of(case)
            np.save(f"{folder}/rows.npy", x)
            for method in methods:
                here = partial(level, method, x, case.clusters)
                apart = partial(in_process, method, f"{folder}/rows.npy", case)
                slow = case == HUGE and method != "evenkeel"
                keep(f"{case}: {method}", here if method in OURS else apart, 80 if slow else 20)
        pool = Path(folder) / "pool"
        if not wanted or any(part in f"run: {compute}" for part in wanted for compute in COMPUTES):
            write_shards(pool, FLOW_ROWS)
        for compute in COMPUTES:
            keep(f"run: {compute}", partial(whole_run, compute, pool), 40)


def in_process(method: str, rows: str, case: Case) -> tuple[float, float]:
    """Return what `level` does, measured in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "tests.bench.bench_gpu",
        "--one",
        method,
        "--rows",
        rows,
        "--k",
        str(case.clusters),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    inertia, seconds = json.loads(done.stdout.strip().splitlines()[-1])
    return inertia, seconds


def machine() -> str:
    """Say what this ran on."""
    import cupy

    return f"{cupy.cuda.runtime.getDeviceProperties(0)['name'].decode()}, {os.cpu_count()} cores"


def page(kept: dict[str, Any]) -> str:
    """Return the section of docs/PERFORMANCE.md."""
    rates = kept.get("rates")
    rates = rates if isinstance(rates, dict) else {}
    lines = [f"On: {kept.get('machine', 'no device; every figure below is ' + NONE)}.", ""]
    lines += [str(kept["note"]), ""] if "note" in kept else []
    lines += [f"Rate of products and of ranking, {SMALL}, resident, TFLOP/s:", "", "| | TFLOP/s |", "| --- | ---: |"]
    names = [*(f"product, {kind}" for kind in PRODUCTS[:2]), *(f"ranking, {kind}" for kind in (*PRODUCTS, "cuVS"))]
    lines += [f"| {name} | {f'{rates[name]:.1f}' if name in rates else NONE} |" for name in names]
    for case in (SMALL, LARGE, HUGE):
        lines += [
            "",
            f"One k-means, {case}, copies to the device included:",
            "",
            "| | seconds | inertia |",
            "| --- | ---: | ---: |",
        ]
        for method in METHODS if case != HUGE else OURS:
            found = kept.get(f"{case}: {method}")
            cells = f"{found[1]:.2f} | {found[0]:.6g}" if isinstance(found, list | tuple) else f"{found or NONE} | "
            lines.append(f"| {method} | {cells} |")
    lines += ["", *lines_of(kept.get("texts: gpu"), kept.get("texts: cpu"))]
    lines += [
        "",
        f"A whole run, {FLOW_ROWS:,} x 384 in Parquet, seconds of it and of its steps:",
        "",
    ]
    runs = {compute: kept.get(f"run: {compute}") for compute in COMPUTES}
    steps = dict.fromkeys(step for run in runs.values() if isinstance(run, dict) for step in run) or {"all": None}
    lines += [f"| compute | {' | '.join(steps)} |", f"| --- |{' ---: |' * len(steps)}"]
    for compute, run in runs.items():
        seconds = [f"{run[step]:.1f}" if isinstance(run, dict) and step in run else "" for step in steps]
        lines.append(f"| `{compute}` | {' | '.join(seconds) if isinstance(run, dict) else run or NONE} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="only write the page from the figures that are kept")
    parser.add_argument(
        "--only", nargs="*", default=[], help="parts of the names of what is measured: rates, texts, cuML, run"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long all of it may take")
    parser.add_argument("--one", choices=METHODS, help="measure one method on --rows, a .npy, with --k clusters")
    parser.add_argument("--rows")
    parser.add_argument("--k", type=int)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(level(options.one, np.load(options.rows), options.k)))
        return
    kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if gpu_count() and not options.write:
        measure(kept, options.only, options.seconds)
    elif not options.write:
        print("there is no CUDA device here: nothing is measured")
    write_section("On a GPU", "make bench-gpu", page(kept))


if __name__ == "__main__":
    main()
