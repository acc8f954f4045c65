"""A recipe that asks for every signal of a row's place runs from source to staged version, and again from the cache."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import StagedVersion, cluster_pool, stage_version
from evenkeel.flows.recipe import parse
from evenkeel.infra.compute import Compute
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import InProcess, Run

ROWS = 300


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, ROWS)
    x = rng.normal(0, 1, (ROWS, 6)) + 5 * np.eye(3, 6)[kind]
    x[:3] *= 8
    rows = [
        {"id": f"r{row}", "vector": x[row].tolist(), "kind": f"k{kind[row]}", "loss": float(rng.random())}
        for row in range(ROWS)
    ]
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    signals = [
        {"name": "quality", "mix": {"place": 0.5, "-outlier": 0.5}, "by": "kind"},
        {"name": "place", "kind": "rank", "of": "loss", "by": "kind"},
        {"name": "outlier", "kind": "isolation-forest", "trees": 20, "within": "kind"},
        {"name": "far", "kind": "neighbour-distance", "cells": "clusters"},
        {"name": "boundary", "kind": "neighbour-disagreement", "group": "kind", "k": 5},
        {"name": "leverage", "kind": "leverage"},
        {"name": "step", "kind": "window", "of": "far", "bins": 5},
    ]
    return {
        "dataset": "places",
        "source": {
            "uri": str(tmp_path / "source"),
            "id": "id",
            "vector": "vector",
            "groups": ["kind"],
            "scores": ["loss"],
            "rows_per_block": 64,
        },
        "signals": signals,
        "sampling": {"strategy": {"name": "weighted", "by": "leverage"}, "target": 60},
        "destination": {"uri": str(tmp_path / "published")},
        "workspace": str(tmp_path / "workspace"),
    }


@pytest.mark.long
def test_signals_are_computed_in_order_and_once(document: dict[str, Any], tmp_path: Path) -> None:
    def staged(*overrides: str) -> StagedVersion:
        recipe = parse(document, overrides)
        run_step = InProcess(Run(recipe.workspace, recipe.dataset, tmp_path / "scratch", Compute(threads=1)))
        lineage = resolve_lineage(recipe, recipe.workspace)
        return stage_version(recipe, lineage, cluster_pool(recipe, lineage, run_step), run_step)

    made = staged()
    pool = Pool.open(made.ingest, signals=made.signals)
    column = {name: pool.column(f"score.{name}") for name in pool.scores}
    assert not any(np.isnan(values).any() for values in column.values())
    assert column["leverage"].sum() == pytest.approx(6, abs=1e-6)
    assert set(np.argsort(-column["leverage"])[:3]) == set(np.argsort(-column["far"])[:3]) == {0, 1, 2}
    assert np.bincount(column["step"].astype(int)).tolist() == [60] * 5
    assert column["boundary"][3:].mean() < 0.05
    assert -0.5 < column["quality"].min() < column["quality"].max() < 0.5

    kept = Selection.open(made.sample).table()
    chance = 1 / kept["weight"].to_numpy()
    by_id = dict(zip(pool.row_ids().tolist(), column["leverage"].tolist(), strict=True))
    leverage = np.array([by_id[row] for row in kept["row_id"].to_pylist()])
    assert len(kept) == 60
    np.testing.assert_allclose((chance / leverage)[chance < 1], (chance / leverage)[chance < 1][0], rtol=1e-6)

    again = staged("sampling.target=50")
    assert {name: ref.key for name, ref in again.signals.items()} == {
        name: ref.key for name, ref in made.signals.items()
    }
    assert all(again.signals[name].seconds == ref.seconds for name, ref in made.signals.items())
    assert again.sample.key != made.sample.key
