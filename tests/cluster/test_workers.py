"""Clustering on Dask workers: the same rows as in one process, also when a worker dies; memory bounded by a block."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evenkeel.infra.compute import open_compute
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from tests.cluster.test_step import TINY, prepared
from tests.kmeans.mixtures import mixture


@pytest.mark.slow
def test_a_worker_that_dies_changes_nothing(tmp_path: Path) -> None:
    run, inputs = prepared(tmp_path, mixture(3000, 12, 60))
    config = ClusteringConfig(levels=[150, 12], resampling=1, memory_gib=TINY)
    here = Hierarchy.open(CLUSTER(config, ClusterInputs.of(inputs), replace(run, workspace=str(tmp_path / "here"))))
    killed: list[int] = []
    with open_compute("local", tmp_path) as compute:
        compute.inline_below = 0

        def progress(done: float, message: str) -> None:
            if "clustered group" in message and not killed and compute.client is not None:
                killed.append(next(iter(compute.client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        there = replace(run, workspace=str(tmp_path / "there"), compute=compute, progress=progress)
        found = Hierarchy.open(CLUSTER(config, ClusterInputs.of(inputs), there))
    assert killed
    assert found.centroid_hash == here.centroid_hash
    assert found.rows() == here.rows()


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from evenkeel.infra.arrays import write_array
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.index import open_index, write_index
from evenkeel.tasks.cluster.split import GroupPlan, SplitLevel, fit_group, split_run, sums_of
from evenkeel.tasks.kmeans.index import CentroidIndex

class Blocks:
    dimension, dtype = 128, np.dtype(np.float32)
    def __init__(self, names):
        self.names = names
    def read(self, block):
        return np.load(f"{sys.argv[1]}/{block}.npy", mmap_mode="r")

folder, scratch = sys.argv[1] + "/parts", Path(sys.argv[1]) / "scratch"
config = ClusteringConfig(resampling=1, memory_gib=16 / 1024)

def work(names, groups, k):
    level = SplitLevel(Blocks(names), config, 0, folder, folder, scratch)
    write_array(level.path("groups.npy"), np.load(f"{sys.argv[1]}/b0.npy", mmap_mode="r")[:groups].astype(np.float32))
    for number, name in enumerate(names):
        split_run(level, (number, (name,)))
    rows = np.sum([sums_of(level, number)["rows"] for number in range(len(names))], axis=0).astype(int).tolist()
    for group in range(groups):
        fit_group(level, GroupPlan([k] * groups, None, rows, len(names)), group)
    centroids = np.concatenate([np.load(level.path(f"group-{group}.npy")) for group in range(groups)])
    write_index(level.path("index"), CentroidIndex.build(centroids, "euclidean", 0, 1))
    index = open_index(level.path("index"), "euclidean", scratch)
    return sum(len(index.nearest(level.source.read(name))[0]) for name in names)

work(["b0"], 2, 600)
import shutil
shutil.rmtree(folder)
used = int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + (64 << 20),) * 2)
print(work([f"b{i}" for i in range(16)], 24, 100))
"""


@pytest.mark.slow
def test_a_pool_four_times_the_memory_a_worker_may_use(tmp_path: Path) -> None:
    """256 MiB of rows through every part of the split path, in 64 MiB beyond what the process starts with."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((200, 128), dtype=np.float32)
    for number in range(16):
        x = centres[rng.integers(200, size=32_768)] + rng.standard_normal((32_768, 128), dtype=np.float32) / 2
        np.save(tmp_path / f"b{number}.npy", x)
    limited = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
    )
    assert limited.returncode == 0, limited.stderr
    assert int(limited.stdout) == 16 * 32_768
