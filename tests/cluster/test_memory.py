"""What a k-means takes is what is counted, at several dimensions, with few clusters and with many."""

import subprocess
import sys

import pytest

MEASURE = """
import sys
import numpy as np
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.resample import fit_level
from evenkeel.tasks.cluster.source import Stacked
from evenkeel.tasks.cluster.split import memory_of
from evenkeel.tasks.kmeans.cost import centroid_bytes

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

rows, dimension, clusters = map(int, sys.argv[1:])
config, rng = ClusteringConfig(resampling=1, iterations=5), np.random.default_rng(0)
fit_level(Stacked([rng.standard_normal((3000, dimension), dtype=np.float32)], dimension), 300, config, 0)
open("/proc/self/clear_refs", "w").write("5")  # the peak is counted from here
before = peak()
x = rng.standard_normal((rows, dimension), dtype=np.float32)
fit_level(Stacked([x], dimension), clusters, config, 0)
print((peak() - before) / (rows * memory_of(dimension, 4, config) + clusters * centroid_bytes(dimension)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "dimension", "clusters"),
    [(250_000, 16, 1000), (150_000, 64, 800), (60_000, 256, 500), (60_000, 64, 6000), (60_000, 256, 10_000)],
)
def test_memory_is_counted_at_several_sizes(rows: int, dimension: int, clusters: int) -> None:
    command = [sys.executable, "-c", MEASURE, str(rows), str(dimension), str(clusters)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 1 / 1.3 <= float(done.stdout) <= 1
