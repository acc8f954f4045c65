"""Rows without a score that sampling needs are named before the pool is clustered, and only those that are left."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.outlook import without_values
from evenkeel.flows.pipeline import cluster_pool
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.step import ConfigT, InputsT, Run, Step

ROWS = 120


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    """A pool of 120 rows; a list that has a loss for all but r3, r50 and r51."""
    rng = np.random.default_rng(0)
    ids = [f"r{row}" for row in range(ROWS)]
    columns = {"id": ids, "vector": list(rng.normal(size=(ROWS, 4)).astype(np.float32))}
    columns["score"] = [None if row == 7 else float(row) for row in range(ROWS)]
    (tmp_path / "pool").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "pool" / "part.parquet")
    loss = pd.DataFrame({"id": ids, "loss": rng.random(ROWS)}).drop([3, 50, 51])
    loss.to_csv(tmp_path / "loss.csv", index=False)
    return {
        "dataset": "needed",
        "source": {"uri": str(tmp_path / "pool"), "rows_per_block": 32, "scores": ["score"]},
        "clustering": {"levels": [4], "iterations": 2},
        "signals": [{"name": "loss", "join": str(tmp_path / "loss.csv")}],
        "sampling": {"target": 20, "strategy": {"name": "weighted", "by": "loss"}},
        "destination": {"uri": str(tmp_path / "published")},
        "workspace": str(tmp_path / "workspace"),
    }


def clustered(document: dict[str, Any], tmp_path: Path) -> tuple[list[str], dict[str, StepRef]]:
    recipe, order, signals = parse(document), list[str](), dict[str, StepRef]()
    run = Run(recipe.workspace, recipe.dataset, tmp_path / "scratch")

    def run_step(step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT) -> StepRef:
        order.append(step.name)
        ref = step(config, inputs, run)
        if step.name == "signal":
            signals[ref.facts["name"]] = ref
        return ref

    try:
        cluster_pool(recipe, resolve_lineage(recipe, recipe.workspace), run_step)
    except RecipeError as error:
        order.append(str(error))
    if signals:
        order.append(" ".join(one.summary() for one in without_values(recipe, signals)))
    return order, signals


def test_rows_without_a_joined_score_are_named_before_clustering(document: dict[str, Any], tmp_path: Path) -> None:
    order, signals = clustered(document, tmp_path)
    assert "cluster" not in order
    assert "'loss', which 3 of 120 rows have no finite value of" in order[-2]
    assert "none for 'r3', 'r50', 'r51'" in order[-2]
    assert "signals, loss" in order[-2]
    assert "sampling: 3 of 120 rows have no value of loss" in order[-1]
    assert signals["loss"].counts == {"rows": 120, "missing": 3}


def test_a_filter_or_an_exclusion_may_have_removed_them(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("r3\nr50\n")
    document["dedup"] = {"exclude": [{"by": "ids", "uri": str(tmp_path / "list.txt")}]}
    assert "1 of 118 rows" in clustered(document, tmp_path)[0][-2]
    order, _ = clustered({**document, "filters": [{"drop": "loss is null"}]}, tmp_path)
    assert order[-2:] == ["cluster", ""]
    assert "scored" in order


FAR = {"name": "far", "kind": "neighbour-distance", "k": 3, "cells": "clusters"}


def test_a_filter_that_reads_only_clusters_saves_no_row_without_a_score(
    document: dict[str, Any], tmp_path: Path
) -> None:
    document["signals"] += [FAR]
    order, _ = clustered({**document, "filters": [{"drop": "far above quantile 0.9"}]}, tmp_path)
    assert "cluster" not in order
    assert "'loss', which 3 of 120 rows have no finite value of" in order[-2]


def test_what_a_filter_after_clustering_may_settle_is_said_by_plan_and_looked_at_right_after_it(
    document: dict[str, Any], tmp_path: Path
) -> None:
    document["signals"] += [FAR]
    order, _ = clustered({**document, "filters": [{"drop": "loss > 2 or far > 1e9"}]}, tmp_path)
    assert order.index("cluster") < order.index("filter") < order.index("scored")
    assert {"thin", "sample"}.isdisjoint(order)
    assert "'loss', which 3 of 120 rows have no finite value of" in order[-2]
    assert "known only after clustering, because the filter 'drop loss > 2 or far > 1e9'" in order[-1]
    order, _ = clustered({**document, "filters": [{"drop": "loss is null or far > 1e9"}]}, tmp_path)
    assert order[order.index("cluster") :][:-1] == ["cluster", "signal", "filter", "scored", "thin"]


def test_a_score_made_of_clusters_is_looked_at_before_sampling(document: dict[str, Any], tmp_path: Path) -> None:
    document["signals"] += [FAR, {"name": "both", "of": "far + loss"}]
    document["sampling"]["strategy"]["by"] = "both"
    order, _ = clustered(document, tmp_path)
    assert order[-3] == "scored"
    assert "'both', which 3 of 120 rows have no finite value of" in order[-2]


def test_scores_of_the_source_are_looked_at_too_and_whole_signals_are_not(
    document: dict[str, Any], tmp_path: Path
) -> None:
    by_score = {"target": 20, "strategy": "flat", "order": "score", "score": "score"}
    assert "source.scores, score" in clustered({**document, "sampling": by_score}, tmp_path)[0][-2]
    whole = {"signals": [{"name": "whole", "of": "coalesce(score, 1)"}], "sampling": {**by_score, "score": "whole"}}
    assert "scored" not in clustered({**document, **whole}, tmp_path)[0]
