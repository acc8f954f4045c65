"""A pool whose halves do not agree on its clusters is drawn at random, and everything that is read of it says so."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from evenkeel.flows.curate import curate
from evenkeel.flows.recipe import Recipe
from evenkeel.infra import storage


@pytest.mark.long
@pytest.mark.usefixtures("prefect_server")
def test_the_run_the_card_and_the_readme_say_so_and_offer_what_helps(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=1200 * 10).astype(np.float32)), 10)
    kinds = pa.array(rng.choice(["a", "b"], 1200, p=[0.9, 0.1]))
    ids = pa.array([f"row-{n}" for n in range(1200)])
    table = pa.table({"id": ids, "vector": vectors, "a, kind": kinds})
    pq.write_table(table.slice(0, 1100), tmp_path / "cloud-1.parquet")
    recipe = {
        "dataset": "cloud",
        "source": {"uri": str(tmp_path / "cloud-*.parquet"), "vector": "vector", "groups": ["a, kind"]},
        "sampling": {"target": "10%"},
        "destination": {"uri": str(tmp_path / "published")},
        "workspace": str(tmp_path / "workspace"),
        "compute": "inline",
    }
    first = curate(Recipe.model_validate(recipe))
    pq.write_table(table.slice(1100), tmp_path / "cloud-2.parquet")
    found = curate(Recipe.model_validate(recipe))  # takes the first one's choice, without measuring
    assert "v1" in found["clusters"]
    assert "rows were drawn at random" in found["notes"][-1]
    note = first["notes"][-1]
    assert found["notes"][-1] == note
    for one in (first, found):
        assert one["status"] == "published"
        assert one["headline"] == "Drawn at random: two halves of the pool do not agree on its clusters"
    assert "strategy: {name: balanced, abstain: false}" in note
    offered = yaml.safe_load(note.rpartition("To even out a, kind: ")[2].removesuffix("."))
    for strategy, even in ((offered["strategy"], True), ({"name": "balanced", "abstain": False}, False)):
        again = curate(Recipe.model_validate({**recipe, "sampling": {"target": "10%", "strategy": strategy}}))
        assert not any("random" in one for one in again["notes"])
        kept = pq.read_table(again["data"])["a, kind"].value_counts().to_pylist()
        assert ({one["values"]: one["counts"] for one in kept} == {"a": 60, "b": 60}) == even
    page, readme = (
        storage.read_bytes(storage.join(found["location"], name)).decode() for name in ("card.html", "README.md")
    )
    for words in (page, readme):
        assert "rows were drawn at random" in words
        assert "abstain: false" in words
