"""Annotations are columns of a version: staged with the rows, cached apart, and absent where a recipe has none."""

import json
from pathlib import Path

import pandas as pd
import pytest

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import StagedVersion, cluster_pool, stage_version
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.step import InProcess, Run

ROWS = 400


def staged(folder: Path, **sections: object) -> StagedVersion:
    """Stage a version of a small pool of texts with vectors, without Prefect."""
    source = folder / "shard.jsonl"
    if not source.exists():
        rows = [
            {"id": f"r{n}", "text": f"topic {n % 7} word {n}", "site": f"s{n % 40}", "vector": [n % 7, n % 3, n / 900]}
            for n in range(ROWS)
        ]
        source.write_text("\n".join(map(json.dumps, rows)))
    document = {
        "dataset": "annotated",
        "source": {"uri": str(source), "groups": ["site"], "rows_per_block": 128},
        "dedup": {"near": None},
        "clustering": {"levels": [12, 4]},
        "sampling": {"strategy": "flat", "target": 200},
        "destination": {"uri": str(folder / "published")},
        "workspace": str(folder / "workspace"),
        **sections,
    }
    recipe = parse(document)
    run = Run(recipe.workspace, recipe.dataset, folder / "scratch")
    lineage = resolve_lineage(recipe, run.workspace)
    return stage_version(recipe, lineage, cluster_pool(recipe, lineage, InProcess(run)), InProcess(run))


def rows_of(version: StagedVersion) -> pd.DataFrame:
    return pd.read_parquet(f"{version.stage.facts['location']}/data")


def test_columns_are_published_and_cached_apart(tmp_path: Path) -> None:
    plain = staged(tmp_path)
    first = staged(tmp_path, splits={"test": "10%"})
    second = staged(tmp_path, splits={"test": "10%"})
    third = staged(tmp_path, splits={"test": "10%", "by": "group.site"})
    assert not [name for name in rows_of(plain) if name in ("ek_split",)]
    assert rows_of(first)["ek_split"].value_counts().to_dict() == {"train": 180, "test": 20}
    assert rows_of(third).groupby("site")["ek_split"].agg(set).map(len).max() == 1
    assert (first.annotations, first.stage) == (second.annotations, second.stage)
    assert plain.sample == first.sample == third.sample
    assert plain.stage.key != first.stage.key != third.stage.key


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"splits": {"test": 0.1, "by": "group.nowhere"}}, r"splits reads group\.nowhere, not among site"),
        ({"splits": {"test": 1.2}}, "less than 1"),
        ({"splits": [{"test": 0.1}, {"test": 0.2}]}, "there are two called 'splits'"),
        ({"splits": "10%"}, "splits: expected options"),
        ({"annotations": [{"kind": "split"}]}, "did you mean splits"),
    ],
)
def test_a_recipe_says_what_is_wrong(tmp_path: Path, sections: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        staged(tmp_path, **sections)
