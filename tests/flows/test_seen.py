"""A version of the dataset counts as seen: a run looks up its files, and asks for what they lack."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.flows.curate import curate
from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import cluster_pool, stage_version
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import RecipeError, VersionNotFound
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import InProcess, Run

KINDS, ROWS = 4, 240


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    """Rows of four kinds in a plane, and forty of kinds 0 and 1 as the target."""
    rng = np.random.default_rng(0)
    kind = np.arange(ROWS) % KINDS
    centres = np.array([[0, 0], [6, 0], [0, 6], [6, 6]])

    def rows(kinds: np.ndarray) -> np.ndarray:
        return np.asarray(centres[kinds] + rng.normal(0, 0.7, (len(kinds), 2)), np.float32)

    (tmp_path / "pool").mkdir()
    table = pa.table({"id": [f"r{row}" for row in range(ROWS)], "vector": list(rows(kind)), "kind": kind.astype(str)})
    pq.write_table(table, tmp_path / "pool" / "rows.parquet")
    np.save(tmp_path / "target.npy", rows(np.arange(40) % 2))
    return {
        "dataset": "seen",
        "source": {"uri": str(tmp_path / "pool"), "id": "id", "vector": "vector", "groups": ["kind"]},
        "clustering": {"levels": [12]},
        "compute": "inline",
        "destination": {"uri": str(tmp_path / "published")},
        "workspace": str(tmp_path / "workspace"),
        "sampling": {"target": 40, "strategy": "random"},
        "gates": {"suite": "first-version"},
    }


def staged(document: dict[str, Any], scratch: Path, version: object) -> tuple[StepRef, np.ndarray]:
    """Return the signal of a version towards the target that has seen another, and its rows by kind."""
    target = {"uri": str(scratch / "target.npy"), "leak": "allowed", "seen": {"version": version}}
    strategy = {"name": "toward", "by": "transport"}
    recipe = parse({**document, "target_set": target, "sampling": {"target": 40, "strategy": strategy}})
    run_step = InProcess(Run(workspace=recipe.workspace, dataset=recipe.dataset, scratch=scratch))
    lineage = resolve_lineage(recipe, recipe.workspace)
    made = stage_version(recipe, lineage, cluster_pool(recipe, lineage, run_step), run_step)
    pool = Pool.open(made.ingest)
    kept = np.isin(pool.row_ids(), Selection.open(made.sample).row_ids())
    return made.signals["toward"], np.bincount(np.array(pool.column("group.kind"))[kept].astype(int), minlength=KINDS)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_version_that_was_seen_is_not_asked_for_again(document: dict[str, Any], tmp_path: Path) -> None:
    before, kinds = staged(document, tmp_path, "latest")
    assert before.facts["seen_rows"] == 0
    assert kinds[:2].sum() == 40
    curate(parse({**document, "filters": [{"keep": "kind == '1'"}]}))
    for version in ("latest", 1):
        after, kinds = staged(document, tmp_path, version)
        assert after.facts["seen_rows"] == 40
        assert kinds[0] >= 38
    with pytest.raises(VersionNotFound, match="v1"):
        staged(document, tmp_path, 2)


def test_what_cannot_be_meant_is_named(document: dict[str, Any]) -> None:
    def refusal(seen: dict[str, Any], by: str = "transport") -> str:
        with pytest.raises(RecipeError) as caught:
            parse(
                {
                    **document,
                    "target_set": {"uri": "target.npy", "seen": seen},
                    "sampling": {"target": 40, "strategy": {"name": "toward", "by": by}},
                }
            )
        return str(caught.value)

    assert "uri or version, not both" in refusal({"version": "latest", "uri": "seen.npy"})
    assert "target_set.seen needs uri" in refusal({})
    assert "read by: transport alone" in refusal({"version": "latest"}, "clusters")
