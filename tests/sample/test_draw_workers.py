"""What a draw sends to workers is small, and a cluster draws the same rows."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenkeel.infra.compute import Compute
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from tests.sample.pools import make_run, sampled, write_pool

ROWS = 600
STRATEGIES: list[Any] = [
    "flat",
    "density",
    {"name": "weighted", "by": "clean", "draw": "gumbel"},
    {"name": "quality", "scores": {"clean": 1.0}},
    {"name": "quality", "scores": {"clean": 1.0}, "rule": "kmq"},
]


@dataclass
class Weighed(Compute):
    """A place to run functions that notes how many bytes each function is when it is sent."""

    sent: list[int] = field(default_factory=list)

    def map(self, function: Callable[..., Any], items: Sequence[Any], **options: Any) -> list[Any]:
        self.sent.append(len(pickle.dumps(function)))
        return super().map(function, items, **options)

    def reduce(
        self, function: Callable[..., Any], merge: Callable[..., Any], items: Sequence[Any], **options: Any
    ) -> Any:
        self.sent.append(len(pickle.dumps(function)))
        return super().reduce(function, merge, items, **options)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StepRef]:
    rng = np.random.default_rng(3)
    leaf = rng.integers(0, 400, ROWS)
    vectors = rng.normal(0, 2, (400, 5))[leaf] + rng.normal(0, 0.2, (ROWS, 5))
    scores = {"clean": rng.random(ROWS)}
    folder = tmp_path_factory.mktemp("workers")
    return write_pool(folder / "pool", vectors, levels=[leaf], scores=scores, block_rows=100)


def drawn(pool: dict[str, StepRef], strategy: Any, compute: Compute, folder: Path) -> Any:
    config = SamplingConfig.model_validate({"strategy": strategy, "target": 90})
    return Selection.open(sampled(config, pool, replace(make_run(folder), compute=compute))).table()


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_what_is_sent_with_every_block_is_small(pool: dict[str, StepRef], strategy: Any, tmp_path: Path) -> None:
    compute = Weighed(threads=2)
    drawn(pool, strategy, compute, tmp_path)
    most = 40_000 if "quality" in str(strategy) else 8_000  # quality sends a curve of 1,025 ranks
    assert max(compute.sent) < most, "the sketch of density has 8 MB, quotas and limits grow with the leaves"


@pytest.mark.slow
def test_a_cluster_draws_the_same_rows(pool: dict[str, StepRef], tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made, Client(made) as client:
        cluster = Compute(threads=1, start=lambda: client)
        for strategy in STRATEGIES:
            here = drawn(pool, strategy, Compute(threads=1), tmp_path / "here")
            assert here.equals(drawn(pool, strategy, cluster, tmp_path / "there")), strategy
