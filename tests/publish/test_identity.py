"""A folder knows which table and catalog keep it: no workspace, shell or copy makes a second truth out of it."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from evenkeel.infra import storage
from evenkeel.infra.errors import CatalogMismatch, EvenkeelError, RecipeError, StorageError, VersionNotFound
from evenkeel.tasks.publish import marker as markers
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.marker import Marker, create_marker, read_marker
from evenkeel.tasks.publish.publish import PublishResult
from evenkeel.tasks.versions.listing import list_versions, read_version
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.tags import rollback, tag, untag
from evenkeel.tasks.versions.takedown import takedown
from evenkeel.tasks.versions.verify import verify

Publish = Callable[..., PublishResult]
EAGER = Retention(keep_last=1, keep_days=0, grace_hours=0)


def other_catalog(config: DestinationConfig, tmp_path: Path) -> DestinationConfig:
    return config.model_copy(update={"catalog": f"sqlite:///{tmp_path}/other.db", "retention": EAGER})


def test_two_workspaces_share_one_line_of_versions(
    publish_from: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    first, second = publish_from("worker", seed=0), publish_from("shell", seed=1)
    assert (first.version, second.version) == (1, 2)
    for workspace in ("worker", "shell", "nowhere"):
        known = list_versions(destination, "demo", str(tmp_path / workspace))
        assert [(version.version, version.current) for version in known] == [(2, True), (1, False)]
    eager = destination.model_copy(update={"retention": EAGER})
    assert prune(eager, "demo", str(tmp_path / "worker"), dry_run=False).versions == [1]
    assert verify(destination, "demo", 2, str(tmp_path / "shell")).sound


def test_a_lost_workspace_loses_no_version(
    publish_from: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    publish_from("workspace", seed=0)
    shutil.rmtree(tmp_path / "workspace")
    assert publish_from("workspace", seed=1).version == 2


@pytest.mark.parametrize("lost", ["another catalog", "the catalog is lost"])
@pytest.mark.long
def test_whatever_changes_something_refuses_a_catalog_that_does_not_keep_the_folder(
    lost: str, publish_from: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    result, workspace = publish_from("one", seed=0), str(tmp_path / "two")
    publish_from("one", seed=1)
    config = destination
    if lost == "another catalog":
        config = other_catalog(destination, tmp_path)
    else:
        (Path(destination.uri) / "catalog.db").unlink()
    before = contents(Path(destination.uri) / "demo")
    actions: list[Callable[[], object]] = [
        lambda: publish_from("two", config, seed=2),
        lambda: tag(config, "demo", 1, "prod", workspace),
        lambda: untag(config, "demo", "latest", workspace),
        lambda: rollback(config, "demo", 1, workspace),
        lambda: prune(config, "demo", workspace, dry_run=False),
        lambda: prune(config, "demo", workspace),
        lambda: takedown(config, "demo", ["doc-0000001"], workspace, dry_run=False),
    ]
    for action in actions:
        with pytest.raises(CatalogMismatch, match=r"catalog.*(.|\n)*evenkeel repair"):
            action()
    staged = {path for path in contents(Path(destination.uri) / "demo") if path not in before}
    assert all(path.startswith("versions/") for path in staged)
    assert {path: size for path, size in contents(Path(destination.uri) / "demo").items() if path in before} == before
    known = list_versions(config, "demo", workspace)
    assert [(version.version, version.current) for version in known] == [(2, True), (1, False)]
    assert verify(config, "demo", 1, workspace).sound
    assert len(pd.read_parquet(result.data)) == result.rows
    assert read_version(config, "demo", "latest", workspace).version == 2


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_reading_without_a_catalog_writes_nothing(
    publish_from: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    publish_from("one")
    (Path(destination.uri) / "catalog.db").unlink()
    before = contents(Path(destination.uri))
    list_versions(destination, "demo", str(tmp_path / "two"))
    verify(destination, "demo", 1, str(tmp_path / "two"))
    assert contents(Path(destination.uri)) == before
    nowhere = DestinationConfig(uri=str(tmp_path / "nowhere"))
    assert list_versions(nowhere, "demo", str(tmp_path / "two")) == []
    assert not (tmp_path / "nowhere").exists()


def test_an_old_copy_of_the_catalog_is_refused(
    publish_from: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    catalog = Path(destination.uri) / "catalog.db"
    publish_from("one", seed=0)
    shutil.copy(catalog, tmp_path / "backup.db")
    publish_from("one", seed=1)
    shutil.copy(tmp_path / "backup.db", catalog)
    with pytest.raises(CatalogMismatch, match=r"old copy(.|\n)*v2 or later"):
        publish_from("one", seed=2)
    assert [version.version for version in list_versions(destination, "demo", str(tmp_path))] == [2, 1]


def test_of_two_first_publishers_with_two_catalogs_one_wins(
    publish_from: Publish, destination: DestinationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes just before the first marks the folder."""
    real = storage.create_bytes

    def late(uri: str, data: bytes) -> bool:
        monkeypatch.setattr(storage, "create_bytes", real)
        assert publish_from("two", other_catalog(destination, tmp_path), seed=1).version == 1
        return real(uri, data)

    monkeypatch.setattr(storage, "create_bytes", late)
    with pytest.raises(CatalogMismatch, match="kept by another catalog"):
        publish_from("one", seed=0)
    known = list_versions(other_catalog(destination, tmp_path), "demo", str(tmp_path))
    assert [version.version for version in known] == [1]
    assert verify(destination, "demo", 1, str(tmp_path)).sound


def test_a_repair_elsewhere_while_a_version_is_committed_stops_the_commit(
    publish_from: Publish, destination: DestinationConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_from("one", seed=0)
    folder = str(Path(destination.uri) / "demo")
    found = read_marker(folder)
    assert found is not None
    from evenkeel.tasks.publish import audit

    taken = found.model_copy(update={"keeper": "0123456789abcdef"})
    monkeypatch.setattr(audit, "require_files", lambda *_: markers.write_marker(taken))
    with pytest.raises(CatalogMismatch, match="kept by another catalog"):
        publish_from("one", seed=1)
    assert read_marker(folder) == taken
    assert [version.version for version in list_versions(destination, "demo", str(tmp_path))] == [1]


def test_one_of_many_markers_at_once_is_there(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    folder = str(tmp_path / "demo")
    drafts = [Marker(dataset="demo", location=folder, keeper=f"{number:016x}", catalog="c") for number in range(32)]
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda draft: create_marker(draft).keeper, drafts))
    assert len(found) == 1
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["evenkeel.json"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('{"format": 7, "written_by": "evenkeel 9.1", "more": 1}', RecipeError, r"newer Evenkeel(.|\n)*evenkeel 9\.1"),
        ('{"format": 1', StorageError, "marker of this dataset's folder is damaged"),
        ("[]", StorageError, "damaged"),
    ],
)
@pytest.mark.long
def test_a_marker_that_cannot_be_read_is_named(
    text: str,
    error: type[EvenkeelError],
    message: str,
    publish_from: Publish,
    destination: DestinationConfig,
    tmp_path: Path,
) -> None:
    publish_from("one", seed=0)
    (Path(destination.uri) / "demo" / "evenkeel.json").write_text(text)
    for action in (
        lambda: publish_from("one", seed=1),
        lambda: prune(destination, "demo", str(tmp_path), dry_run=False),
    ):
        with pytest.raises(error, match=message):
            action()


def test_a_lost_marker_is_written_again(publish_from: Publish, destination: DestinationConfig) -> None:
    publish_from("one", seed=0)
    marker = Path(destination.uri) / "demo" / "evenkeel.json"
    before = json.loads(marker.read_text())
    marker.unlink()
    publish_from("one", seed=1)
    assert json.loads(marker.read_text()) == before | {"highest": 2}


def test_a_folder_within_a_dataset_or_around_one_is_refused(
    publish_from: Publish, destination: DestinationConfig
) -> None:
    publish_from("one")
    inside = destination.model_copy(update={"uri": str(Path(destination.uri) / "demo" / "versions")})
    with pytest.raises(RecipeError, match=f"lies inside another dataset(.|\n)*{destination.uri}/demo\n"):
        publish_from("two", inside)
    around = Path(destination.uri).parent / "demo"
    shutil.move(destination.uri, around / "published")
    with pytest.raises(RecipeError, match="has another dataset inside it"):
        publish_from("two", destination.model_copy(update={"uri": str(around.parent)}))


def move_to_workspace(config: DestinationConfig, workspace: Path) -> None:
    """Make a folder what the last release left: catalog in the workspace, no marker, no keeper."""
    from evenkeel.tasks.publish.earlier import FORMAT_PROPERTY
    from evenkeel.tasks.publish.index import write_index
    from evenkeel.tasks.publish.opening import dataset_table

    with dataset_table(config, "demo", str(workspace)) as table:
        transaction = table.transaction()
        transaction.remove_properties(markers.KEEPER_PROPERTY)
        transaction.set_properties({FORMAT_PROPERTY: "1"})
        (Path(config.uri) / "demo" / "evenkeel.json").unlink()
        transaction.commit_transaction()
        write_index(table)
    workspace.mkdir(parents=True, exist_ok=True)
    shutil.move(Path(config.uri) / "catalog.db", workspace / "catalog.db")


@pytest.mark.long
def test_the_catalog_of_an_earlier_release_is_taken_over_once(
    publish_from: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    publish_from("one", seed=0)
    publish_from("one", seed=1)
    rollback(destination, "demo", 1, str(tmp_path / "one"))
    move_to_workspace(destination, tmp_path / "one")
    known = list_versions(destination, "demo", str(tmp_path / "one"))
    assert [(version.version, version.current) for version in known] == [(2, False), (1, True)]
    assert not (Path(destination.uri) / "catalog.db").exists()

    with pytest.raises(CatalogMismatch, match="evenkeel repair"):
        publish_from("another", seed=2)
    assert publish_from("one", seed=2).version == 3
    assert publish_from("another", seed=3).version == 4
    assert [version.version for version in list_versions(destination, "demo", "")] == [4, 3, 2, 1]
    assert all(verify(destination, "demo", number, "").sound for number in (1, 2, 3, 4))
    with sqlite3.connect(tmp_path / "one" / "catalog.db") as old:
        (location,) = old.execute("select metadata_location from iceberg_tables").fetchone()
    left = json.loads(Path(location.removeprefix("file://")).read_text())["properties"]
    assert (left["evenkeel.format"], left["evenkeel.moved-to"]) == ("2", "catalog.db")


def test_a_dataset_that_has_nothing_says_so(destination: DestinationConfig, tmp_path: Path) -> None:
    with pytest.raises(VersionNotFound, match="no versions yet"):
        tag(destination, "demo", 1, "prod", str(tmp_path))
    assert not Path(destination.uri).exists()
