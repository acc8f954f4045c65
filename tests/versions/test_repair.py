"""A catalog is rebuilt from the folder with all it said, a copied folder is adopted, half a copy is refused by name."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from evenkeel.flows.repair import repair as repair_folder
from evenkeel.infra.errors import CatalogMismatch, RecipeError, StorageError, VersionNotFound
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.folder import metadata_files
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.table import Version, find
from evenkeel.tasks.versions import repair as module
from evenkeel.tasks.versions.listing import list_versions
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.repair import repair
from evenkeel.tasks.versions.tags import rollback, tag
from evenkeel.tasks.versions.verify import verify
from tests.examples import telling
from tests.publish.fixtures import Publish
from tests.publish.test_identity import contents


@pytest.fixture
def three(publish_one: Publish, destination: DestinationConfig, workspace: str) -> list[Version]:
    """Three versions, the second current, the first tagged, with a column that only the third has."""
    import pyarrow as pa

    publish_one(document={"reason": "the first", "metrics": {"entropy": 0.5}})
    publish_one(seed=1)
    publish_one(seed=2, extra={"more": pa.array(range(500))})
    tag(destination, "demo", 1, "prod", workspace)
    rollback(destination, "demo", 2, workspace)
    return list_versions(destination, "demo", workspace)


def facts(versions: list[Version], *, but: set[str] = frozenset()) -> list[dict[str, object]]:  # type: ignore[assignment]
    return [version.model_dump(exclude={"snapshot_id", *but}) for version in versions]


def rows(config: DestinationConfig, number: int) -> set[str]:
    with dataset_table(config, "demo", "") as table:
        return set(table.scan(snapshot_id=find(table, number).snapshot_id).to_arrow()["ek_id"].to_pylist())


@pytest.mark.parametrize(
    "lost", telling(["the catalog", "catalog and marker", "all but versions.json and manifests"], "the catalog")
)
@pytest.mark.long
def test_a_lost_catalog_is_rebuilt_from_the_folder(
    lost: str, three: list[Version], destination: DestinationConfig, publish_one: Publish, tmp_path: Path
) -> None:
    folder = Path(destination.uri) / "demo"
    shutil.rmtree(tmp_path / "workspace")
    (folder.parent / "catalog.db").unlink()
    if lost != "the catalog":
        (folder / "evenkeel.json").unlink()
    if lost.startswith("all"):
        shutil.rmtree(folder / "metadata")
    before = contents(folder.parent)
    plan = repair(destination, "demo")
    assert contents(folder.parent) == before
    assert (plan.dry_run, plan.versions, plan.current, plan.highest) == (True, [1, 2, 3], 2, 3)
    assert plan.tags == {"prod": 1, "latest": 2}
    assert plan.action == ("rebuild" if lost.startswith("all") else "register")

    repair(destination, "demo", dry_run=False)
    assert facts(list_versions(destination, "demo", "")) == facts(three)
    for version in three:
        assert verify(destination, "demo", version.version, "").sound
        assert rows(destination, version.version) == set(pd.read_parquet(version.data)["ek_id"])
    with dataset_table(destination, "demo", "") as table:
        assert "more" not in table.scan().to_arrow().column_names
    assert publish_one(seed=5).version == 4
    assert repair(destination, "demo").action == "none"
    kept = destination.model_copy(update={"retention": Retention(keep_last=9, grace_hours=0)})
    assert prune(kept, "demo", "", dry_run=False).versions == []
    assert all(verify(destination, "demo", number, "").sound for number in (1, 2, 3, 4))


@pytest.mark.slow
def test_a_number_that_was_pruned_is_not_given_again_after_a_repair(
    three: list[Version], destination: DestinationConfig, publish_one: Publish, workspace: str
) -> None:
    prune(destination, "demo", workspace, drop=[3], dry_run=False)
    (Path(destination.uri) / "catalog.db").unlink()
    assert repair(destination, "demo", dry_run=False).versions == [1, 2]
    assert publish_one(seed=7).version == 4


@pytest.mark.long
def test_a_copied_folder_is_adopted_and_both_go_on(
    three: list[Version], destination: DestinationConfig, publish_one: Publish, tmp_path: Path, workspace: str
) -> None:
    copy = destination.model_copy(update={"uri": str(tmp_path / "copy")})
    shutil.copytree(destination.uri, copy.uri)
    moved = [version.location.replace(destination.uri, copy.uri) for version in three]
    assert [version.location for version in list_versions(copy, "demo", workspace)] == moved
    with pytest.raises(CatalogMismatch, match=r"copied or moved(.|\n)*evenkeel repair"):
        publish_one(copy, seed=9)
    before = contents(Path(destination.uri))
    assert repair(copy, "demo").action == "rebuild"
    repair(copy, "demo", dry_run=False)
    assert contents(Path(destination.uri)) == before

    shutil.rmtree(Path(destination.uri) / "demo" / "versions" / Path(three[2].location).name)
    found = list_versions(copy, "demo", workspace)
    assert facts(found, but={"location", "data"}) == facts(three, but={"location", "data"})
    assert [version.location for version in found] == moved
    for number in (1, 2, 3):
        assert verify(copy, "demo", number, workspace).sound
        assert rows(copy, number)
    assert publish_one(copy, seed=9).version == 4
    assert publish_one(seed=8).version == 4
    assert len(list_versions(copy, "demo", workspace)) == len(list_versions(destination, "demo", workspace)) == 4


@pytest.mark.slow
def test_a_folder_copied_in_part_is_refused_by_the_names_of_what_is_missing(
    three: list[Version], destination: DestinationConfig, tmp_path: Path
) -> None:
    copy = destination.model_copy(update={"uri": str(tmp_path / "copy")})
    shutil.copytree(destination.uri, copy.uri)
    run = Path(three[2].location).name
    lost = Path(copy.uri) / "demo" / "versions" / run / "data" / "part-00001.parquet"
    lost.unlink()
    short = lost.with_name("part-00000.parquet")
    short.write_bytes(short.read_bytes()[:-10])
    with pytest.raises(
        StorageError, match=rf"2 files(.|\n)*v1: {run}/data/part-00000.parquet \(\d+ of \d+ bytes\)"
    ) as caught:
        repair(copy, "demo", dry_run=False)
    assert f"v1: {run}/data/part-00001.parquet" in str(caught.value)
    done = repair(copy, "demo", left_out=[1], dry_run=False)
    assert (done.versions, done.current, done.tags, done.highest) == ([2, 3], 2, {"latest": 2}, 3)
    with pytest.raises(VersionNotFound, match="no version v7"):
        repair(copy, "demo", left_out=[7])


@pytest.mark.slow
def test_a_folder_copied_without_its_last_commit_shows_no_older_state(
    three: list[Version], destination: DestinationConfig, tmp_path: Path
) -> None:
    copy = destination.model_copy(update={"uri": str(tmp_path / "copy")})
    last = metadata_files(f"{destination.uri}/demo")[0].rpartition("/")[2]
    shutil.copytree(destination.uri, copy.uri, ignore=lambda _, names: {last} & set(names))
    with pytest.raises(StorageError, match=rf"not whole(.|\n)*{last}(.|\n)*evenkeel repair"):
        list_versions(copy, "demo", "")
    assert repair(copy, "demo", dry_run=False).versions == [1, 2, 3]
    assert facts(list_versions(copy, "demo", ""), but={"location", "data"}) == facts(three, but={"location", "data"})


@pytest.mark.parametrize("moment", telling(["drop", "register", "settle", "mark"], "settle"))
@pytest.mark.long
def test_a_repair_that_is_killed_is_begun_again(
    moment: str,
    three: list[Version],
    destination: DestinationConfig,
    publish_one: Publish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (Path(destination.uri) / "catalog.db").unlink()
    name = {"drop": "_register", "register": "_settle", "settle": "write_marker", "mark": "write_index"}[moment]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, stop)
    with pytest.raises(KeyboardInterrupt):
        repair(destination, "demo", dry_run=False)
    monkeypatch.undo()
    repair(destination, "demo", dry_run=False)
    assert facts(list_versions(destination, "demo", "")) == facts(three)
    assert publish_one(seed=5).version == 4


@pytest.mark.slow
def test_after_a_repair_with_another_catalog_the_first_one_is_refused(
    three: list[Version], destination: DestinationConfig, publish_one: Publish, tmp_path: Path
) -> None:
    other = destination.model_copy(update={"catalog": f"sqlite:///{tmp_path}/other.db"})
    repair(other, "demo", dry_run=False)
    assert publish_one(other, seed=5).version == 4
    with pytest.raises(CatalogMismatch, match="kept by another catalog"):
        publish_one(seed=6)
    assert [version.version for version in list_versions(destination, "demo", "")] == [4, 3, 2, 1]


@pytest.mark.slow
def test_a_catalog_that_keeps_another_dataset_of_this_name_is_left_alone(
    publish_one: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    shared = destination.model_copy(update={"catalog": f"sqlite:///{tmp_path}/shared.db"})
    publish_one(shared)
    copy = shared.model_copy(update={"uri": str(tmp_path / "copy")})
    shutil.copytree(shared.uri, copy.uri)
    with pytest.raises(RecipeError, match="keeps another dataset"):
        repair(copy, "demo", dry_run=False)
    assert publish_one(shared, seed=1).version == 2


def test_all_datasets_of_a_destination_or_the_folder_of_one(
    publish_one: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    publish_one()
    folder = Path(destination.uri)
    (folder / "catalog.db").unlink()
    for place in (str(folder), str(folder / "demo")):
        answer = repair_folder(place)
        assert [one.dataset for one in answer.result] == ["demo"]
        assert "would be done" in answer.sentence
    repair_folder(str(folder), dry_run=False)
    assert "nothing is wrong" in repair_folder(str(folder)).sentence
    with pytest.raises(VersionNotFound, match="no datasets"):
        repair_folder(str(tmp_path / "workspace"))


@pytest.mark.slow
def test_a_marker_of_a_newer_product_stops_a_repair(publish_one: Publish, destination: DestinationConfig) -> None:
    publish_one()
    marker = Path(destination.uri) / "demo" / "evenkeel.json"
    marker.write_text(json.dumps({"format": 2, "written_by": "evenkeel 9.1"}))
    with pytest.raises(RecipeError, match="newer Evenkeel"):
        repair(destination, "demo", dry_run=False)
    marker.write_text("{")
    assert repair(destination, "demo", dry_run=False).action in ("mark", "register")
    assert publish_one(seed=1).version == 2


@pytest.mark.slow
def test_of_two_lines_of_versions_in_one_folder_one_is_chosen_and_the_other_left(
    publish_one: Publish, destination: DestinationConfig, tmp_path: Path
) -> None:
    """Releases without a marker let two catalogs publish into one folder, each from v1 on."""
    folder, tables = Path(destination.uri) / "demo", []
    for seeds in ((0, 1), (2, 3, 4)):
        results = [publish_one(seed=seed) for seed in seeds]
        with dataset_table(destination, "demo", "") as table:
            tables.append((str(table.metadata.table_uuid), results))
        (folder.parent / "catalog.db").unlink()
        aside = tmp_path / f"metadata-{len(tables)}"
        shutil.move(folder / "metadata", aside)
        for path in (folder / "evenkeel.json", folder / "versions.json"):
            path.unlink()
    for number in (1, 2):
        shutil.copytree(tmp_path / f"metadata-{number}", folder / "metadata", dirs_exist_ok=True)
    (first, theirs), (second, ours) = tables
    before = contents(folder.parent)
    for dry_run in (True, False):
        with pytest.raises(RecipeError, match=r"two catalogs(.|\n)*--table UUID") as caught:
            repair(destination, "demo", dry_run=dry_run)
        assert f"{first}: v1 to v2" in str(caught.value)
        assert f"{second}: v1 to v3" in str(caught.value)
    assert contents(folder.parent) == before

    with pytest.raises(VersionNotFound, match="no table nothing"):
        repair(destination, "demo", table="nothing")
    assert repair(destination, "demo", table=first, dry_run=False).versions == [1, 2]
    known = list_versions(destination, "demo", "")
    assert [version.location for version in known] == [result.location for result in theirs[::-1]]
    rule = Retention(keep_last=1, keep_days=0, grace_hours=0)
    found = prune(destination.model_copy(update={"retention": rule}), "demo", "", at_once=True, dry_run=False)
    assert (found.versions, found.folders) == ([1], [theirs[0].location])
    assert all(Path(result.data).exists() for result in ours)
    assert publish_one(seed=5).version == 4  # the other line has given number 3
