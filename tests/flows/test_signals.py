"""A recipe with signals and filters goes the whole way: gates on, every row accounted for, the same in any order."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.flows.curate import curate
from evenkeel.flows.recipe import parse
from evenkeel.flows.why import why

ROWS = 1200


@pytest.fixture
def recipe(document: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The recipe over 1,200 rows, with a score that only a file beside the source knows, one for nine of ten rows."""
    row = np.random.default_rng(4).permutation(ROWS)[: ROWS * 9 // 10]
    score = pa.table({"key": [f"row-0-{one}" for one in row], "value": row / ROWS})
    pq.write_table(score, tmp_path / "score.parquet")
    document["signals"] = [
        {"name": "learnable", "of": "4 * rate * (1 - rate)"},
        {"name": "rate", "join": str(tmp_path / "score.parquet"), "on": "key", "column": "value"},
    ]
    document["filters"] = [{"drop": "rate < 0.1"}, {"keep": "topic != 'topic-0'"}, {"drop": "rate is null"}]
    document["sampling"] = {"target": 240, "order": "score", "score": "learnable"}
    return document


@pytest.mark.usefixtures("prefect_server")
def test_signals_and_filters_go_the_whole_way(recipe: dict[str, Any]) -> None:
    found = curate(parse(recipe))
    totals, rows = found["totals"], pd.read_parquet(found["data"])
    fates = pd.read_parquet(Path(found["data"]).parent / "fates")
    assert totals["read"] == ROWS == len(rows) + len(fates)
    assert totals["filtered"] == (fates["fate"] == "filtered").sum() > 0
    reasons = fates[fates["fate"] == "filtered"]["reason"].value_counts()
    assert set(reasons.index) == {"drop rate < 0.1", "keep topic != 'topic-0'", "drop rate is null"}
    number = rows["id"].str.removeprefix("row-0-").astype(int)
    assert (number >= ROWS * 0.1).all()
    assert (rows["topic"] != "topic-0").all()
    assert len(rows) == 240
    assert rows["ek_signal_rate"].tolist() == (number / ROWS).tolist()
    np.testing.assert_allclose(rows["ek_signal_learnable"], 4 * number / ROWS * (1 - number / ROWS))
    low = fates[fates["reason"] == "drop rate < 0.1"]["ek_id"].str.removeprefix("row-0-").astype(int)
    assert (low < ROWS * 0.1).all()
    by_reason = dict(zip(fates["reason"], fates["ek_id"], strict=True))
    folder = str(Path(found["data"]).parents[2])
    (gone,) = why(folder, by_reason["drop rate < 0.1"]).result
    assert gone.sentence == "v1: filtered: by the rule: drop rate < 0.1"
    (kept,), (left,) = why(folder, rows["id"].iloc[0]).result, why(folder, by_reason[""]).result
    assert (kept.disposition, kept.copies, left.disposition) == ("kept", 1, "not_sampled")
    of_leaf = rows[rows["ek_cluster_1"] == left.leaf]
    assert (left.leaf_kept, left.quota) == (len(of_leaf), len(of_leaf))
    assert kept.leaf == rows["ek_cluster_1"].iloc[0]
    assert not why(folder, "nobody").ok
    card = Path(found["card"]).read_text()
    assert f"drop rate &lt; 0.1: {reasons['drop rate < 0.1']}" in card or "drop rate < 0.1" in card
