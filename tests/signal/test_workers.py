"""Signals are the same on a cluster, and what their tasks carry does not grow with the pool or its groups."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from distributed.protocol.pickle import dumps

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.compute import Compute, Item, Result
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.kinds.isolation_forest import IsolationForest
from evenkeel.tasks.signal.kinds.leverage import Leverage
from evenkeel.tasks.signal.kinds.mixture import Mixture
from evenkeel.tasks.signal.kinds.neighbour_disagreement import NeighbourDisagreement
from evenkeel.tasks.signal.kinds.neighbour_distance import NeighbourDistance
from evenkeel.tasks.signal.kinds.rank import Rank
from evenkeel.tasks.signal.kinds.window import Window
from evenkeel.tasks.signal.signal import Signal
from evenkeel.tasks.step import InProcess
from tests.sample.pools import make_run, write_pool

ROWS = 300
SIGNALS: list[Signal] = [
    IsolationForest(name="outlier", trees=10, within="kind"),
    NeighbourDistance(name="far", k=4),
    NeighbourDistance(name="far_in_leaves", k=4, cells="clusters"),
    NeighbourDisagreement(name="boundary", group="kind", k=4),
    Leverage(name="leverage"),
    Rank(name="place", of="loss", by="kind"),
    Window(name="step", of="loss", bins=7),
    Mixture(name="ranked", mix={"loss": 1, "-clean": 0.5}, by="kind"),
    Mixture(name="scaled", mix={"loss": 1, "-clean": 0.5}, normalise="zscore", by="kind"),
]


def pool(folder: Path, kinds: int) -> dict[str, StepRef]:
    rng = np.random.default_rng(0)
    leaf = rng.integers(0, 6, ROWS)
    return write_pool(
        folder,
        rng.normal(0, 1, (ROWS, 8)) + 3 * np.eye(6, 8)[leaf],
        levels=[leaf],
        groups={"kind": [f"kind {row % kinds}" for row in range(ROWS)]},
        scores={"loss": rng.random(ROWS), "clean": rng.random(ROWS)},
        block_rows=100,
    )


@dataclass
class Weighed(Compute):
    """Runs everything here, and records the bytes of what a cluster would be sent for one task."""

    bytes: list[int] = field(default_factory=list)

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        work: int | None = None,
        each: float | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Result]:
        self._weigh(function, items)
        return super().map(function, items, work=work, each=each, on_done=on_done)

    def reduce(
        self,
        function: Callable[[Item], Result],
        merge: Callable[[Result, Result], Result],
        items: Sequence[Item],
        *,
        work: int | None = None,
    ) -> Result | None:
        self._weigh(function, items)
        return super().reduce(function, merge, items, work=work)

    def _weigh(self, function: Callable[[Item], object], items: Sequence[Item]) -> None:
        self.bytes += [len(dumps((function, item))) for item in items[:1]]


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
@pytest.mark.long
def test_a_task_carries_no_sketch_and_no_groups(tmp_path: Path, signal: Signal) -> None:
    weights = []
    for kinds in (3, 300):
        folder = tmp_path / str(kinds)
        compute = Weighed(threads=1)
        run = replace(make_run(folder), compute=compute)
        compute_signal(signal, pool(folder, kinds), InProcess(run))
        weights.append(max(compute.bytes))
    assert weights[1] < weights[0] + 100
    assert weights[0] < 8000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Compute]:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made, Client(made) as client:
        yield Compute(threads=1, start=lambda: client)


@pytest.mark.slow
@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_a_cluster_gives_the_same_values(tmp_path: Path, cluster: Compute, signal: Signal) -> None:
    done = pool(tmp_path, 3)

    def values(compute: Compute, folder: Path, refs: Mapping[str, StepRef]) -> np.ndarray:
        run = replace(make_run(folder), compute=compute)
        ref = compute_signal(signal, refs, InProcess(run))
        return Pool.open(refs["ingest"], signals={signal.name: ref}).column(f"score.{signal.name}")

    here = values(Compute(threads=1), tmp_path / "here", done)
    np.testing.assert_array_equal(here, values(cluster, tmp_path / "there", done))
    assert not np.isnan(here).all()
