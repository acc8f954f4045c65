"""A recipe with stages, splits and fresh subsets goes the whole way: published, read by stage, taken down."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import evenkeel
from evenkeel.flows import versions as operations
from evenkeel.flows.curate import curate
from evenkeel.flows.recipe import parse

SECTIONS = {
    "stages": [
        {"name": "warm", "share": 0.3, "strategy": {"name": "uniform", "groups": ["topic"]}},
        {"name": "main", "share": 0.5, "strategy": "balanced"},
        {"name": "end", "share": 0.2, "raise": {"topic": {"topic-1": 4}}},
    ],
    "splits": {"test": "10%"},
    "epochs": {"fresh": 0.25},
}


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_annotations_go_the_whole_way(document: dict[str, Any], tmp_path: Path) -> None:
    recipe = parse({**document, **SECTIONS})
    found = curate(recipe)
    version = evenkeel.open(f"{recipe.destination.uri}/notes")
    rows = version.to_pandas()
    stages = [f"ek_stage_{name}" for name in ("warm", "main", "end")]
    assert rows[stages].sum().tolist() == [65, 108, 43]  # of the 216 rows for training
    warm = rows.groupby("topic")["ek_stage_warm"].sum()
    assert warm.max() - warm.min() <= 1
    assert (rows["ek_split"] == "test").sum() == 24
    read = [one for batch in version.batches(["ek_id"], stage="warm", split="train") for one in batch["ek_id"]]
    train = rows[rows["ek_split"] == "train"]
    assert sorted(read) == sorted(np.repeat(train["ek_id"].to_numpy(), train["ek_stage_warm"].to_numpy()))
    assert "what was decided" in (Path(found["location"]) / "card.html").read_text()
    exported = operations.export(recipe, "v1", "jsonl", str(tmp_path / "out")).result
    lines = pd.concat(pd.read_json(path, lines=True) for path in sorted(Path(exported.uri).glob("*")))
    pd.testing.assert_frame_equal(
        lines[["ek_id", *stages, "ek_split"]].sort_values("ek_id", ignore_index=True),
        rows[["ek_id", *stages, "ek_split"]].sort_values("ek_id", ignore_index=True),
        check_dtype=False,
    )
    assert curate(recipe)["status"] == "unchanged"
    gone = rows["ek_id"].iloc[0]
    done = operations.takedown(recipe, [gone], republish=True, dry_run=False).result
    assert done.republished is not None
    again = evenkeel.open(f"{recipe.destination.uri}/notes").to_pandas()
    left = rows[rows["ek_id"] != gone].reset_index(drop=True)
    pd.testing.assert_frame_equal(again[["ek_id", *stages, "ek_split"]], left[["ek_id", *stages, "ek_split"]])
    card = (Path(done.republished.location) / "card.html").read_text()
    assert "<code>ek_stage_warm</code>" in card
    assert "copies 65" not in card
