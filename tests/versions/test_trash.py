"""What a prune lets go can be brought back, whole and under its number, until its days are over."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from evenkeel.infra import storage
from evenkeel.infra.errors import EvenkeelError, InputError, RecipeError, StorageError, VersionNotFound
from evenkeel.tasks.publish import commit
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.table import find
from evenkeel.tasks.versions import trash
from evenkeel.tasks.versions.listing import list_versions, read_version
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.takedown import takedown
from evenkeel.tasks.versions.trash import restore, trashed
from evenkeel.tasks.versions.verify import verify
from tests.examples import telling
from tests.publish.fixtures import Publish
from tests.publish.test_identity import contents


@pytest.fixture
def eager(destination: DestinationConfig) -> DestinationConfig:
    """Lets go all but the newest version, with the trash as it is by default."""
    return destination.model_copy(update={"retention": Retention(keep_last=1, keep_days=0, grace_hours=0)})


def numbers(config: DestinationConfig) -> list[int]:
    return [version.version for version in list_versions(config, "demo", "")]


def later(config: DestinationConfig, days: float) -> None:
    """Let what is in the trash have been there for so many days more."""
    for path in (Path(config.uri) / "demo" / "trash").iterdir():
        moment = path.stat().st_mtime - days * 86_400
        os.utime(path, (moment, moment))


@pytest.mark.long
def test_a_pruned_version_comes_back_with_its_number_and_its_rows(
    publish_one: Publish, eager: DestinationConfig, workspace: str
) -> None:
    publish_one(document={"reason": "the first", "metrics": {"entropy": 0.5}})
    publish_one(seed=1)
    before = read_version(eager, "demo", 1, workspace)
    kept = contents(Path(before.location))
    found = prune(eager, "demo", workspace, dry_run=False)
    assert (found.versions, found.trash, found.folders) == ([1], [before.location], [])
    assert numbers(eager) == [2]
    with dataset_table(eager, "demo", workspace) as table:
        assert [(one.version, one.tags) for one in trashed(table)] == [(1, [])]
    assert len(pd.read_parquet(before.data)) == 200
    assert publish_one(seed=2).version == 3

    back = restore(eager, "demo", 1, workspace)
    assert back.model_dump(exclude={"snapshot_id"}) == before.model_dump(exclude={"snapshot_id"})
    assert contents(Path(before.location)) == kept
    assert not list((Path(eager.uri) / "demo" / "trash").glob("*"))
    assert verify(eager, "demo", 1, workspace).sound
    with dataset_table(eager, "demo", workspace) as table:
        rows = table.scan(snapshot_id=find(table, 1).snapshot_id).to_arrow()
        assert set(rows["ek_id"].to_pylist()) == set(pd.read_parquet(before.data)["ek_id"])
        assert not [name for name in table.metadata.refs if name.startswith("audit-")]
    assert [(version.version, version.current) for version in list_versions(eager, "demo", "")] == [
        (3, True),
        (2, False),
        (1, False),
    ]
    assert publish_one(seed=3).version == 4


@pytest.mark.long
def test_the_trash_is_emptied_when_its_days_are_over(
    publish_one: Publish, eager: DestinationConfig, workspace: str
) -> None:
    first, _ = publish_one(), publish_one(seed=1)
    prune(eager, "demo", workspace, dry_run=False)
    later(eager, 6.9)
    assert prune(eager, "demo", workspace, dry_run=False).folders == []
    later(eager, 0.2)
    assert prune(eager, "demo", workspace).folders == [first.location]
    assert Path(first.location).exists()
    assert prune(eager, "demo", workspace, dry_run=False).folders == [first.location]
    assert not Path(first.location).exists()
    with pytest.raises(VersionNotFound, match=r"v1 of 'demo' is not in the trash(.|\n)*found: nothing"):
        restore(eager, "demo", 1, workspace)
    assert publish_one(seed=2).version == 3


@pytest.mark.slow
def test_a_clock_that_runs_back_keeps_the_trash(publish_one: Publish, eager: DestinationConfig, workspace: str) -> None:
    publish_one()
    publish_one(seed=1)
    prune(eager, "demo", workspace, dry_run=False)
    later(eager, -400)
    assert prune(eager, "demo", workspace, dry_run=False).folders == []
    assert restore(eager, "demo", 1, workspace).version == 1


@pytest.mark.slow
def test_at_once_there_is_no_trash_and_none_is_left(
    publish_one: Publish, eager: DestinationConfig, destination: DestinationConfig, workspace: str
) -> None:
    results = [publish_one(seed=seed) for seed in range(3)]
    prune(destination, "demo", workspace, drop=[1], dry_run=False)
    done = prune(destination, "demo", workspace, drop=[2], at_once=True, dry_run=False)
    assert sorted(done.folders) == sorted(result.location for result in results[:2])
    assert [storage.exists(result.location) for result in results] == [False, False, True]
    assert not list((Path(eager.uri) / "demo" / "trash").glob("*"))


@pytest.mark.slow
def test_the_same_rows_published_while_they_are_in_the_trash_get_files_of_their_own(
    publish_one: Publish, eager: DestinationConfig, workspace: str
) -> None:
    first, _ = publish_one(), publish_one(seed=1)
    prune(eager, "demo", workspace, dry_run=False)
    again = publish_one()
    assert (again.version, again.location != first.location) == (3, True)
    restore(eager, "demo", 1, workspace)
    assert numbers(eager) == [3, 2, 1]
    assert all(verify(eager, "demo", number, workspace).sound for number in (1, 2, 3))


@pytest.mark.parametrize("moment", telling(["register", "_take_mark", "name_version", "forget"], "forget"))
@pytest.mark.long
def test_a_restore_that_is_killed_is_begun_again(
    moment: str, publish_one: Publish, eager: DestinationConfig, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_one()
    publish_one(seed=1)
    prune(eager, "demo", workspace, dry_run=False)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    owner = commit if moment in ("register", "name_version") else trash
    monkeypatch.setattr(owner, moment, stop)
    with pytest.raises(KeyboardInterrupt):
        restore(eager, "demo", 1, workspace)
    monkeypatch.undo()
    if moment == "forget":
        assert numbers(eager) == [2, 1]
        careful = eager.model_copy(update={"retention": Retention()})
        prune(careful, "demo", workspace, dry_run=False)
        assert not list((Path(eager.uri) / "demo" / "trash").glob("*"))
    else:
        prune(eager, "demo", workspace, dry_run=False)
        assert restore(eager, "demo", 1, workspace).version == 1
    assert verify(eager, "demo", 1, workspace).sound


@pytest.mark.parametrize("moment", telling(["before the names go", "before the mark"], "before the mark"))
@pytest.mark.long
def test_a_prune_that_is_killed_loses_no_version(
    moment: str, publish_one: Publish, eager: DestinationConfig, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_one()
    publish_one(seed=1)
    from evenkeel.tasks.versions import prune as pruning

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    if moment == "before the mark":
        monkeypatch.setattr(pruning, "dispose", stop)
    else:
        monkeypatch.setattr(commit, "apply", stop)
    with pytest.raises(KeyboardInterrupt):
        prune(eager, "demo", workspace, dry_run=False)
    monkeypatch.undo()
    if moment == "before the mark":
        assert numbers(eager) == [2]
        assert prune(eager, "demo", workspace, dry_run=False).folders == []
        restore(eager, "demo", 1, workspace)
    assert numbers(eager) == [2, 1]
    assert all(verify(eager, "demo", number, workspace).sound for number in (1, 2))


@pytest.mark.slow
def test_what_cannot_be_restored_is_said_why(publish_one: Publish, eager: DestinationConfig, workspace: str) -> None:
    results = [publish_one(seed=seed) for seed in range(4)]
    prune(eager, "demo", workspace, dry_run=False)
    (Path(results[0].data) / "part-00000.parquet").unlink()
    id_of_second = pd.read_parquet(results[1].data)["ek_id"].iloc[0]
    only = set(pd.read_parquet(results[1].data)["ek_id"]) - set(pd.read_parquet(results[2].data)["ek_id"])
    takedown(eager, "demo", [next(iter(only)) if only else id_of_second], workspace, dry_run=False)
    cases: list[tuple[int, type[EvenkeelError], str]] = [
        (1, StorageError, r"v1: .*data/part-00000\.parquet"),
        (2, InputError, "taken down"),
        (4, RecipeError, "is there"),
        (9, VersionNotFound, r"found: v1, v2, v3"),
    ]
    for number, error, message in cases:
        with pytest.raises(error, match=message):
            restore(eager, "demo", number, workspace)
    assert restore(eager, "demo", 3, workspace).version == 3
    assert numbers(eager) == [4, 3]


@pytest.mark.slow
def test_a_prune_leaves_what_another_table_or_another_dataset_holds(
    publish_one: Publish, eager: DestinationConfig, workspace: str, tmp_path: Path
) -> None:
    """Two catalogs published into one folder in releases without a marker; a third dataset lies in a run's folder."""
    theirs = [publish_one(seed=seed) for seed in (0, 1)]
    folder = Path(eager.uri)
    (folder / "catalog.db").rename(tmp_path / "theirs.db")
    for path in (folder / "demo").iterdir():
        if path.is_file():
            path.unlink()
    for path in (folder / "demo" / "metadata").iterdir():
        path.rename(tmp_path / path.name)
    ours = publish_one(seed=2)
    for path in tmp_path.glob("*.metadata.json"):
        path.rename(folder / "demo" / "metadata" / path.name)
    for path in tmp_path.glob("*.avro"):
        path.rename(folder / "demo" / "metadata" / path.name)
    nested = folder / "demo" / "versions" / "0123456789ab-00000000"
    shutil.copytree(folder / "demo", nested / "demo", ignore=shutil.ignore_patterns("versions"))
    before = {path: data for path, data in contents(folder / "demo").items() if path.startswith(("versions/", "meta"))}
    del before["metadata/version-hint.text"]

    at_once = eager.model_copy(update={"retention": eager.retention.model_copy(update={"trash_days": 0})})
    found = prune(at_once, "demo", workspace, dry_run=False)
    assert (found.versions, found.folders, found.metadata) == ([], [], 0)
    assert {path: data for path, data in contents(folder / "demo").items() if path in before} == before
    assert all(Path(result.data).exists() for result in (*theirs, ours))


def test_files_that_were_perhaps_a_version_go_into_the_trash_first(
    publish_one: Publish, eager: DestinationConfig, workspace: str
) -> None:
    result = publish_one()
    for name, has_manifest in (("aaaa", True), ("bbbb", False)):
        shutil.copytree(result.location, Path(result.location).parent / name)
        if not has_manifest:
            (Path(result.location).parent / name / "manifest.json").unlink()
    found = prune(eager, "demo", workspace, dry_run=False)
    assert [Path(uri).name for uri in found.trash] == ["aaaa"]
    assert [Path(uri).name for uri in found.folders] == ["bbbb"]
    again: Callable[[], list[str]] = lambda: prune(eager, "demo", workspace, dry_run=False).folders  # noqa: E731
    assert again() == []
    later(eager, 8)
    assert [Path(uri).name for uri in again()] == ["aaaa"]
