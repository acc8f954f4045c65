"""Rows that must be kept are in the version, whatever would take them out; the keys to them are in no file."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect.utilities.collections import visit_collection

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import StagedVersion, cluster_pool, stage_version
from evenkeel.flows.recipe import Recipe, parse
from evenkeel.infra import storage
from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.publish.publish import publish
from evenkeel.tasks.sample.must_keep import with_rows_kept
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import InProcess, Run
from tests.sample.pools import make_run, sampled, write_pool

ROWS, TARGET = 360, 60
TWICE = {7: 3, 11: 3, 200: 150}  # row: the row whose text and vector it has
MUST = [3, 7, 11, 200, *range(20, 32), 355]
SECRET = "swordfish-of-the-vault"


@pytest.fixture
def owned(document: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A recipe whose filter removes rows 20 to 39, over a pool with rows that are there twice."""
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(6, 8))[np.arange(ROWS) % 6] + 0.1 * rng.normal(size=(ROWS, 8))).astype(np.float32)
    texts = [f"note {row} of topic {row % 6}" for row in range(ROWS)]
    for row, of in TWICE.items():
        vectors[row], texts[row] = vectors[of], texts[of]
    columns = {"id": [f"row-{row}" for row in range(ROWS)], "topic": [f"t{row % 6}" for row in range(ROWS)]}
    good = [float(not 20 <= row < 40) for row in range(ROWS)]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 8)
    folder = tmp_path / "owned"
    folder.mkdir()
    pq.write_table(pa.table({**columns, "text": texts, "good": good, "vector": flat}), folder / "a.parquet")
    (tmp_path / "rows.txt").write_text("".join(f"row-{row}\n" for row in MUST))
    (tmp_path / "keys.csv").write_text(f"key,answer,chance\n{SECRET},yes,0.5\n")
    return {
        **document,
        "source": {"uri": str(folder), "groups": ["topic"], "scores": ["good"]},
        "filters": [{"keep": "good > 0.5"}],
        "clustering": {"levels": [12, 3], "iterations": 3},
        "sampling": {"target": TARGET, "strategy": "flat"},
        "ownership": {"rows": str(tmp_path / "rows.txt"), "keys": str(tmp_path / "keys.csv")},
    }


def staged(recipe: Recipe, folder: Path) -> StagedVersion:
    run = InProcess(Run(recipe.workspace, recipe.dataset, folder / "scratch"))
    lineage = resolve_lineage(recipe, recipe.workspace)
    return stage_version(recipe, lineage, cluster_pool(recipe, lineage, run), run)


def test_no_step_takes_out_a_row_that_must_be_kept(owned: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rows.txt").rename(tmp_path / "later.txt")
    without = staged(parse({**owned, "ownership": None}), tmp_path)
    (tmp_path / "later.txt").rename(tmp_path / "rows.txt")
    recipe = parse(owned)
    version = staged(recipe, tmp_path)
    must = [np.uint64(row) for row in MUST]
    table = Selection.open(version.sample).table()
    assert set(must) <= set(table["row_id"].to_pylist())
    assert not set(must) <= set(Selection.open(without.sample).row_ids().tolist())
    assert version.sample.counts["kept"] == without.sample.counts["kept"] == TARGET
    ids = np.array(must)
    assert Duplicates.open(version.dedup).kept(ids).all()
    assert Duplicates.open(without.dedup).kept(ids).sum() <= len(must) - 14, "two duplicates and twelve filtered rows"
    assert version.dedup.counts["filtered"] == 8
    assert staged(recipe, tmp_path).sample.key == version.sample.key
    publish(
        recipe.destination, "notes", version.stage, {}, {"recipe": recipe.model_dump(mode="json")}, recipe.workspace
    )
    files = [*Path(recipe.workspace).rglob("*"), *Path(recipe.destination.uri).rglob("*")]
    held = [path for path in files if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert held == []
    assert SECRET not in recipe.model_dump_json()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"rows": ["row-3", "row-999", "row-1000"]},
            InputError,
            r"2 of 3 rows .* are not in the pool\n  found: 'row-999'",
        ),
        ({"rows": []}, InputError, "has 0 ids"),
        ({"exclude": ["row-7"]}, InputError, r"1 rows that must be kept cannot be: excluded\n  found: 'row-7'"),
        ({"target": 10}, RecipeError, r"more rows must be kept than the target allows\n  expected: at most 10"),
    ],
)
def test_what_cannot_be_kept_is_named(
    owned: dict[str, Any], tmp_path: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    if "rows" in change:
        (tmp_path / "rows.txt").write_text("".join(f"{row}\n" for row in change["rows"]))
    if "exclude" in change:
        (tmp_path / "out.txt").write_text("row-7\n")
        owned["dedup"] = {"near": None, "exclude": [{"by": "ids", "uri": str(tmp_path / "out.txt")}]}
    owned["sampling"]["target"] = change.get("target", TARGET)
    with pytest.raises(error, match=message):
        staged(parse(owned), tmp_path)


def test_prefect_takes_a_recipe_with_every_section_of_provenance(owned: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "sources.csv").write_text("pattern,licence\n*,MIT\n")
    sections = {"provenance": {"sources": str(tmp_path / "sources.csv"), "allow": ["MIT"]}, "tier": {"name": "L1"}}
    signals = [{"name": "pii", "kind": "personal-data"}]
    recipe = parse({**owned, **sections, "signals": signals})
    assert visit_collection(recipe, visit_fn=lambda one: one, return_data=True) == recipe
    assert recipe.ownership is not None
    assert recipe.ownership.vault == owned["ownership"]["keys"]
    assert parse(recipe.model_dump(mode="json")) == recipe


def test_places_are_taken_in_the_same_leaf_and_weights_still_count_the_pool(tmp_path: Path) -> None:
    from evenkeel.tasks.sample.candidates import CandidateRows
    from evenkeel.tasks.sample.config import SamplingConfig

    leaf = np.arange(600) % 4
    done, run = write_pool(tmp_path, np.eye(4)[leaf], levels=[leaf]), make_run(tmp_path)
    config = SamplingConfig.model_validate({"target": 80, "strategy": "flat"})
    selection = Selection.open(sampled(config, done, run)).table()
    rows = CandidateRows.open(done["ingest"], done["embed"], done["cluster"])
    sizes, estimates = np.full(4, 150), []
    for draw in range(20):
        must = np.sort(np.random.default_rng(draw).choice(600, 24, replace=False).astype(np.uint64))
        found = with_rows_kept(selection, must, rows, sizes, draw, run)
        ids = found["row_id"].to_numpy()
        assert len(ids) == len(set(ids.tolist())) == 80
        assert set(must.tolist()) <= set(ids.tolist())
        assert (np.diff(ids) > 0).all()
        assert Counter(found["leaf"].to_pylist()) == Counter(selection["leaf"].to_pylist())
        assert (found["weight"].to_numpy()[np.isin(ids, must)] == 1).all()
        estimates.append(float(np.sum(found["weight"].to_numpy())))
    assert np.allclose(estimates, 600)
    whole = np.arange(40, dtype=np.uint64) * 4  # forty rows of leaf 0, whose quota is twenty
    found = with_rows_kept(selection, whole, rows, sizes, 0, run)
    assert found.num_rows == 80
    assert Counter(found["leaf"].to_pylist())[0] == 40
    assert storage.exists(done["ingest"].uri)
