"""The cluster step on one Dask worker and on two: the same pool, split into eight groups, the same rows out.

    python -m tests.bench.bench_workers

Prints wall seconds and their ratio. Workers are started and have compiled before the clock starts; the machine must
have two idle cores for the ratio to mean anything.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from evenkeel.infra.compute import open_compute
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.dedup.config import DedupConfig
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from tests.embed.pools import make_pool, new_run

ROWS, DIMENSION, CLUSTERS, GROUPS = 100_000, 256, 5000, 8


def main() -> None:
    """Time both and print the ratio."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((2000, DIMENSION), dtype=np.float32)
    x = centres[rng.integers(2000, size=ROWS)] + 0.6 * rng.standard_normal((ROWS, DIMENSION), dtype=np.float32)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        run = new_run(folder)
        ingest = make_pool(run, folder / "shards", {"vector": x}, 8, vector="vector", rows_per_block=12_500)
        embed = EMBED(ColumnEmbedding(), EmbedInputs(ingest=ingest), run)
        dedup = DEDUP(DedupConfig(exact=False, near=None), DedupInputs(ingest=ingest, embed=embed), run)
        inputs = {"ingest": ingest, "embed": embed, "dedup": dedup}
        config = ClusteringConfig(levels=[CLUSTERS], resampling=1, memory_gib=x.nbytes * 2 / GROUPS / 2**30)
        seconds, hashes = [], []
        for workers in (1, 2):
            cluster = folder / f"{workers}.yaml"
            cluster.write_text(f"kind: local\nworkers: {workers}\nthreads: 1\ninline_below: 0MiB\n")
            with open_compute(str(cluster), folder) as compute:
                there = replace(run, compute=compute, workspace=str(folder / f"warm-{workers}"))
                CLUSTER(config.model_copy(update={"levels": [1500], "resampling": 0}), ClusterInputs.of(inputs), there)
                started = time.monotonic()
                found = CLUSTER(
                    config, ClusterInputs.of(inputs), replace(there, workspace=str(folder / f"timed-{workers}"))
                )
                seconds.append(time.monotonic() - started)
                hashes.append(found.facts["centroid_hash"])
            print(f"{workers} workers: {seconds[-1]:.2f} s", flush=True)
        print(f"two against one: {seconds[0] / seconds[1]:.2f}x, same centroids: {hashes[0] == hashes[1]}")


if __name__ == "__main__":
    main()
