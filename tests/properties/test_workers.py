"""Scans give the same on a cluster of workers as in one process, groups that are cut by their hash included."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from distributed import Client, LocalCluster

from evenkeel.expectations.concerns.columns import Dependency, Typos, Uniques
from evenkeel.expectations.concerns.fairness import MetricByGroup, SelectionRate
from evenkeel.expectations.concerns.properties import Covers, Holds
from evenkeel.expectations.expectation import Expectation
from evenkeel.infra.compute import Compute
from evenkeel.tasks.properties.config import ProfileConfig
from evenkeel.tasks.properties.grouping import GROUPS_AT_ONCE
from evenkeel.tasks.properties.profiling import profile_columns
from evenkeel.tasks.step import Run
from evenkeel.tasks.validate.stated import measure_stated
from tests.properties.versions import write_version

STATED: list[Expectation] = [
    Holds(property="x > 0.01 implies g is not null"),
    Holds(property="forall g, z: count >= 3 and mean(x) > 0.2"),
    Covers(over={"x": 30, "z": 10}),
    Dependency(left=["z"], right="g"),
    Uniques(columns=["x", "z"]),
    Typos(column="g"),
    MetricByGroup(metric="mean(x)", group="g", ratio_at_least=0.9),
    SelectionRate(group="z", ratio_at_least=0.9),
]


@pytest.mark.slow
def test_a_cluster_finds_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z = rng.integers(0, 50, 4000)
    g = [f"group {'abcdefg'[code % 7] * 4}" if row % 500 else None for row, code in enumerate(z)]
    g[77] = "group aaab"
    table = pa.table({"x": rng.random(4000).round(3), "z": z, "g": g})
    kept = np.flatnonzero(rng.random(4000) < 0.6).tolist()
    rows = write_version(tmp_path, table, kept=kept, block_rows=300)

    def found(compute: Compute, folder: str) -> tuple[pd.DataFrame, dict[str, list[object]]]:
        run = Run(folder, "workers", tmp_path, compute)
        stated = measure_stated(STATED, rows, "", 2 * GROUPS_AT_ONCE, folder, True, run)  # so many rows: cut by hash
        profile = dict(profile_columns(ProfileConfig(), rows, len(kept), folder, compute))
        return stated, {name: table.to_pylist() for name, table in profile.items()}

    here, profiled = found(Compute(threads=2), str(tmp_path / "here"))
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made, Client(made) as client:
        there, again = found(Compute(start=lambda: client), str(tmp_path / "there"))
    assert profiled == again
    assert profiled["dependencies"]
    for name in ("key", "checked", "broken", "counterexamples", "names"):
        assert here[name].tolist() == there[name].tolist(), name
    for mine, its in zip(here["means"], there["means"], strict=True):
        assert (mine is None) == (its is None)
        assert mine is None or np.array_equal(mine, its, equal_nan=True)
    assert (here["broken"] > 0).sum() >= 4
