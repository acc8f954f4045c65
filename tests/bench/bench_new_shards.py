"""New shards against a full run: what is read, how long each step takes, how much of the version changes.

`python -m tests.bench.bench_new_shards [rows] [dimension] [share]` curates a pool of Zipf-weighted Gaussian topics in
20 shards, adds a share of new rows in one more shard, and curates again: on the clusters there are, and anew.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.infra.compute import Compute
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.assign import ASSIGN
from evenkeel.tasks.cluster.config import AssignConfig, ClusteringConfig
from evenkeel.tasks.cluster.inputs import AssignInputs, ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.dedup.config import DedupConfig
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import Run
from tests.sample.pools import sampled

TOPICS, SHARDS = 300, 20


def write(path: Path, rows: int, dimension: int, seed: int, away: bool = False) -> None:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(8 if away else 7).standard_normal((TOPICS, dimension)).astype(np.float32)
    mass = 1 / np.arange(1, TOPICS + 1)
    topic = rng.choice(TOPICS, rows, p=mass / mass.sum())
    x = centres[topic] + np.float32(0.3) * rng.standard_normal((rows, dimension), np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), dimension)
    ids = [f"{seed}-{row}" for row in range(rows)]
    pq.write_table(pa.table({"id": ids, "topic": topic.astype(str), "vector": vectors}), path)


def curate(source: Path, run: Run, base: dict[str, StepRef] | None = None) -> dict[str, StepRef]:
    """Run the steps up to the selection, on the clusters of `base` or on new ones."""
    request = ingest_request(SourceConfig(uri=str(source), groups=["topic"]))
    done = {"ingest": INGEST(request, NoInputs(), run)}
    done["embed"] = EMBED(ColumnEmbedding(), EmbedInputs.of(done), run)
    done["dedup"] = DEDUP(DedupConfig(near=None), DedupInputs.of(done), run)
    if base is None:
        done["cluster"] = CLUSTER(ClusteringConfig(), ClusterInputs.of(done), run)
    else:
        inputs = done | {"base": base["cluster"], "base_ingest": base["ingest"]}
        done["cluster"] = ASSIGN(AssignConfig(), AssignInputs.of(inputs), run)
    done["sample"] = sampled(SamplingConfig(target=done["ingest"].counts["pool"] // 10), done, run)
    return done


def selected(done: dict[str, StepRef]) -> tuple[set[str], float]:
    """Return the ids that were kept, and how evenly they lie over the topics (normalised entropy)."""
    kept = Selection.open(done["sample"]).table()["row_id"].to_numpy()
    pool = Pool.open(done["ingest"])
    tables = [pool.table(block, ["row_id", "id", "group.topic"]) for block in pool.blocks]
    rows = pa.concat_tables(tables)
    rows = rows.filter(pa.array(np.isin(rows["row_id"].to_numpy(), kept)))
    counts = rows["group.topic"].value_counts().field("counts").to_numpy().astype(float)
    share = counts / counts.sum()
    return set(rows["id"].to_pylist()), float(-(share * np.log(share)).sum() / np.log(TOPICS))


def report(name: str, done: dict[str, StepRef], wall: float) -> None:
    seconds = ", ".join(f"{step} {ref.seconds:.2f}" for step, ref in done.items())
    print(f"{name}: {wall:.1f} s ({seconds})", flush=True)


def main(rows: int, dimension: int, share: float) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = folder / "source"
        source.mkdir()
        for shard in range(SHARDS):
            write(source / f"{shard:03d}.parquet", rows // SHARDS, dimension, shard)
        run = Run(str(folder / "workspace"), "d", folder / "scratch", Compute(threads=2))
        apart = Run(str(folder / "apart"), "d", folder / "scratch", Compute(threads=2))

        def timed(name: str, where: Run, base: dict[str, StepRef] | None = None) -> dict[str, StepRef]:
            started = time.perf_counter()
            done = curate(source, where, base)
            report(name, done, time.perf_counter() - started)
            return done

        print(f"{rows:,} rows x {dimension} in {SHARDS} shards, then {share:.0%} more in one")
        first = timed("v1", run)
        write(source / "new.parquet", int(rows * share), dimension, 1000)
        second, anew = timed("v2 on v1's clusters", run, first), timed("v2 anew", apart)
        print(f"shards read: {SHARDS + 1 - second['ingest'].counts['shards_taken']} of {SHARDS + 1}")
        (a, even_a), (b, even_b), (c, even_c) = selected(first), selected(second), selected(anew)
        drift = second["cluster"].facts["drift"]
        told = {name: round(drift[name], 4) for name in ("drift", "far", "far_before", "psi")}
        print(f"drift: {told}")
        print(f"evenness over topics: v1 {even_a:.4f}, v2 {even_b:.4f}, v2 anew {even_c:.4f}")
        print(f"churn of v1's rows: {len(a - b) / len(a):.1%} on its clusters, {len(a - c) / len(a):.1%} anew")
        print(f"rows in both v2: {len(b & c) / len(b):.1%}")
        write(source / "new.parquet", int(rows * share), dimension, 1001, away=True)
        strange = curate(source, run, first)["cluster"].facts["drift"]
        print(f"the same with other topics: drift {strange['drift']:.3f}, far {strange['far']:.3f}")


if __name__ == "__main__":
    given = sys.argv[1:] + ["200000", "64", "0.05"][len(sys.argv) - 1 :]
    main(int(given[0]), int(given[1]), float(given[2]))
