"""When filters run: before deduplication, after it for rehydration, after clustering for signals that need that."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.flows.lineage import Changes, Lineage
from evenkeel.flows.pipeline import StagedVersion, cluster_pool, stage_version
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.step import ConfigT, InputsT, Run, Step

ROWS = 300
FAR = {"name": "far", "kind": "neighbour-distance", "k": 3, "cells": "clusters"}


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    """A recipe over 300 rows around 3 centres: of every ten texts, one occurs twice, and one three times."""
    rng = np.random.default_rng(0)
    row = np.arange(ROWS)
    vectors = (np.eye(4)[row % 3] + 0.1 * rng.normal(size=(ROWS, 4))).astype(np.float32)
    text = [f"text {max(n - 1, 0) if n % 10 in (2, 5) else n - 2 if n % 10 == 6 else n} of its own" for n in row]
    columns = {"id": [f"r{n}" for n in row], "text": text, "vector": list(vectors), "score": row / ROWS}
    (tmp_path / "pool").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "pool" / "part.parquet")
    return {
        "dataset": "phases",
        "source": {"uri": str(tmp_path / "pool"), "scores": ["score"], "rows_per_block": 64},
        "dedup": {"near": None},
        "clustering": {"levels": [9], "iterations": 3},
        "sampling": {"target": 60, "strategy": "flat"},
        "destination": {"uri": str(tmp_path / "published")},
        "workspace": str(tmp_path / "workspace"),
    }


def staged(document: dict[str, Any], tmp_path: Path) -> tuple[StagedVersion, list[str], dict[str, int]]:
    """Run the steps up to stage and measure; return the version, the steps in order, and rows by disposition."""
    recipe, order = parse(document), list[str]()
    run = Run(recipe.workspace, recipe.dataset, tmp_path / "scratch")

    def run_step(step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
        order.append(step.name)
        return step(config, inputs, run)

    lineage = Lineage(request=ingest_request(recipe.source), changes=Changes(), current=None)
    found = stage_version(recipe, lineage, cluster_pool(recipe, lineage, run_step), run_step)
    counted = run_step(MEASURE, MeasureConfig(), MeasureInputs.of(found.steps())).counts
    names = ("kept", "deduplicated", "filtered", "not_sampled", "quarantined")
    assert sum(found.stage.counts[name] for name in names) == sum(counted[name] for name in names) == ROWS
    return found, order, {name: found.stage.counts[name] for name in names}


def fates(found: StagedVersion) -> pd.DataFrame:
    return pd.read_parquet(Path(found.stage.facts["location"]) / "fates")


def test_filters_come_before_deduplication_so_that_no_leaver_represents_others(
    document: dict[str, Any], tmp_path: Path
) -> None:
    found, order, counts = staged({**document, "filters": [{"drop": "id in ['r1', 'r4']"}]}, tmp_path)
    assert order.index("filter") < order.index("dedup") < order.index("cluster")
    gone = fates(found).set_index("ek_id")
    assert gone.loc[["r1", "r4"], "fate"].tolist() == ["filtered", "filtered"]
    assert counts["deduplicated"] == 3 * ROWS // 10 - 2, "r2 and one of r5 and r6 are now the only ones of their text"


@pytest.mark.long
def test_a_filter_over_a_signal_of_clusters_comes_after_clustering(document: dict[str, Any], tmp_path: Path) -> None:
    filters = [{"drop": "far above quantile 0.9"}, {"drop": "score > 0.9"}]
    found, order, counts = staged({**document, "signals": [FAR], "filters": filters}, tmp_path)
    assert [name for name in order if name in ("filter", "dedup", "cluster", "signal", "thin")] == [
        "filter",
        "dedup",
        "cluster",
        "signal",
        "filter",
        "thin",
    ]
    reasons = fates(found).query("fate == 'filtered'")["reason"].value_counts()
    assert reasons["drop score > 0.9"] == 29
    far = reasons["drop far above quantile 0.9"]
    assert far == pytest.approx(0.1 * (found.cluster.counts["rows"] + far), abs=2)
    assert found.cluster.counts["rows"] == counts["kept"] + counts["not_sampled"]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.long
def test_for_rehydration_all_filters_come_after_deduplication(
    document: dict[str, Any], tmp_path: Path, late: bool
) -> None:
    filters: list[dict[str, Any]] = [{"drop": "score > 0.8"}] + [{"drop": "far above quantile 0.99"}] * late
    document["sampling"] |= {"rehydrate": "auto", "target": 40}
    found, order, _ = staged({**document, "signals": [FAR], "filters": filters}, tmp_path)
    assert order.index("dedup") < order.index("filter")
    assert ("thin" in order, order.count("filter")) == (late, 1)
    sizes = found.dedup.facts["sizes"]
    assert {size: rows for size, (rows, _) in sizes.items()} == {"1": 150, "2": 30, "3": 30}
    assert sum(removed for _, removed in sizes.values()) == found.dedup.counts["filtered"]
    assert set(found.sample.facts["rehydrate"]) == {"1", "2", "3"}
    with pytest.raises(RecipeError, match="no filters"):
        parse({**document, "filters": []})


def test_a_row_that_a_list_names_and_a_filter_removes_is_taken_down(document: dict[str, Any], tmp_path: Path) -> None:
    named = ["r1", "r4", "r100", "r200"]
    (tmp_path / "takedown.txt").write_text("\n".join(named))
    document["source"]["groups"] = ["half"]
    table = pq.read_table(tmp_path / "pool" / "part.parquet")
    halves = pa.array([["low", "high"][n >= ROWS // 2] for n in range(ROWS)])
    pq.write_table(table.append_column("half", halves), tmp_path / "pool" / "part.parquet")
    filters = [{"drop": "score < 0.05"}, {"drop": "id in ['r100', 'r101', 'r199']"}]
    dedup = {"near": None, "exclude": [{"by": "ids", "uri": str(tmp_path / "takedown.txt")}]}
    found, _, counts = staged({**document, "filters": filters, "dedup": dedup}, tmp_path)
    gone = fates(found).set_index("ek_id")
    assert gone.loc[named, "fate"].tolist() == ["quarantined"] * 4
    assert set(gone.loc[named, "reason"]) == {"excluded"}
    assert counts["filtered"] == (gone["fate"] == "filtered").sum() == 15 - 2 + 2
    said = found.dedup.facts["filtered"]
    assert [rule["removed"] for rule in said["rules"]] == [13, 2]
    assert sum(said["shards"].values()) == counts["filtered"]
    assert said["groups"] == {"half": {"low": 14, "high": 1}}
