"""Annotations on workers: the same columns, and tasks that do not grow with clusters or values."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.infra.compute import Compute
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.kinds.order import Order
from evenkeel.tasks.annotate.kinds.splits import Splits
from evenkeel.tasks.annotate.kinds.stages import Stages
from tests.annotate.annotated import annotated
from tests.sample.pools import make_run, write_pool
from tests.signal.test_workers import Weighed

ROWS = 1200
SCHEDULE = [
    {"name": "warm", "share": 0.5, "strategy": {"name": "temperature", "temperature": 3, "groups": ["site"]}},
    {"name": "end", "share": 0.5, "raise": {"site": {"s1": 3}}},
]
KINDS: list[Annotation] = [
    Splits(by="group.site", test=0.25, clients=5),
    Splits(by="cluster", test=0.1, fixed=True),
    Splits(even="group.site", test=0.2),
    Order(by="loss", pattern="batches", of="group.site", batch=8),
    Stages.model_validate({"stages": SCHEDULE}),
]


def pool(folder: Path, clusters: int) -> dict[str, StepRef]:
    leaf = np.arange(ROWS) % clusters
    sites = [f"s{one % clusters}" for one in range(ROWS)]
    loss = np.random.default_rng(0).normal(size=ROWS)
    vectors = np.stack([leaf, leaf], axis=1)
    return write_pool(folder, vectors, levels=[leaf], groups={"site": sites}, scores={"loss": loss}, block_rows=200)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Compute]:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made, Client(made) as client:
        yield Compute(threads=1, start=lambda: client)


@pytest.mark.slow
@pytest.mark.parametrize("one", KINDS, ids=lambda one: one.label)
def test_a_cluster_gives_the_same_columns(tmp_path: Path, cluster: Compute, one: Annotation) -> None:
    done = pool(tmp_path, 20)
    runs = [replace(make_run(tmp_path / name), compute=compute) for name, compute in (("a", Compute()), ("b", cluster))]
    here, there = (annotated(done, tmp_path, one, run=run)[0].to_pandas() for run in runs)
    pd.testing.assert_frame_equal(here, there)


@pytest.mark.long
@pytest.mark.parametrize("one", [KINDS[0], KINDS[3]], ids=lambda one: one.label)
def test_a_task_carries_no_clusters_and_no_values(tmp_path: Path, one: Annotation) -> None:
    weights = []
    for clusters in (4, 400):
        compute = Weighed(threads=1)
        folder = tmp_path / str(clusters)
        annotated(pool(folder, clusters), folder, one, run=replace(make_run(folder), compute=compute))
        weights.append(max(compute.bytes))
    assert weights[1] < weights[0] + 200
