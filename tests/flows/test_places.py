"""A recipe names the same places from every shell and worker, and no place lies inside another that it would harm."""

import os
from pathlib import Path
from typing import Any

import pytest

from evenkeel.flows.places import require_known_places, with_absolute_paths
from evenkeel.flows.recipe import Recipe, parse
from evenkeel.infra.errors import RecipeError


def relative() -> Recipe:
    return parse(
        {
            "dataset": "notes",
            "source": {"uri": ["pool/*.parquet", "s3://bucket/pool"], "ids": "ids.txt"},
            "dedup": {"exclude": [{"by": "ids", "uri": "taken/down.txt"}]},
            "sampling": {"target": 240},
            "destination": {"uri": "published", "catalog": "sqlite:///catalog.db"},
            "workspace": "work",
            "compute": "mine.yaml",
        }
    )


def test_relative_paths_are_taken_from_the_folder_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = with_absolute_paths(relative())
    assert found.source.uri == [f"{tmp_path}/pool/*.parquet", "s3://bucket/pool"]
    assert found.source.ids == f"{tmp_path}/ids.txt"
    assert found.dedup.exclude[0].uri == f"{tmp_path}/taken/down.txt"
    assert (found.destination.uri, found.workspace) == (f"{tmp_path}/published", f"{tmp_path}/work")
    assert (found.destination.catalog, found.compute) == (f"sqlite:///{tmp_path}/catalog.db", f"{tmp_path}/mine.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert with_absolute_paths(found) == found
    assert Recipe.model_validate(found.model_dump(mode="json")) == found


def test_a_worker_in_a_folder_of_its_own_refuses_relative_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    require_known_places(relative())
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "00000000-0000-0000-0000-000000000000")
    with pytest.raises(RecipeError, match=r"workspace: work, destination.uri: published(.|\n)*absolute path or a URI"):
        require_known_places(relative())
    require_known_places(with_absolute_paths(relative()))
    (tmp_path / "prefect.yaml").touch()
    require_known_places(relative())


@pytest.mark.parametrize(
    ("source", "destination", "workspace", "wrong"),
    [
        ("/pool", "/pool/published", "/steps", "lies in the source"),
        ("/pool/**/*.parquet", "/pool/a/b", "/steps", "lies in the source"),
        ("s3://bucket/pool", "s3://bucket/pool/out", "/steps", "lies in the source"),
        ("/pool", "/published", "/pool/steps", r"workspace: /pool/steps/notes lies in the source /pool(.|\n)*choose"),
        ("file:///pool", "/published", "/pool/steps", "lies in the source"),
        ("/pool", "/steps/notes", "/steps", "lie in one another"),
        ("/pool", "/published", "/published/notes/work", "lie in one another"),
        ("/published/notes", "/published", "/steps", "lies in the source"),
        ("/pool", "/pool/.evenkeel/published", "/pool/.evenkeel/workspace", ""),
        ("/pool/*.parquet", "/pool/published", "/steps", ""),
        ("/pool", "/pool-published", "/steps", ""),
        ("/pool", "/data", "/data/.work", ""),
    ],
)
def test_places_that_lie_in_one_another_are_refused(
    source: str, destination: str, workspace: str, wrong: str, document: dict[str, Any]
) -> None:
    document |= {"source": {"uri": source}, "destination": {"uri": destination}, "workspace": workspace}
    if wrong:
        with pytest.raises(RecipeError, match=wrong):
            parse(document)
    else:
        assert parse(document).workspace == workspace


def test_a_relative_destination_inside_the_source_is_seen(
    tmp_path: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="lies in the source"):
        parse(document | {"destination": {"uri": os.path.join("pool", "published")}})
