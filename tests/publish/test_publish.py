"""Publishing: whole or not at all, numbered, unchanged when nothing changed, and never two versions in one folder."""

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyiceberg.table import Table

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, StorageError, VersionNotFound
from evenkeel.infra.workspace import DONE
from evenkeel.tasks.publish import audit
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.earlier import FORMAT_PROPERTY
from evenkeel.tasks.publish.marker import require_still_kept
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.publish import publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.publish.table import find, versions
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions.listing import list_versions, read_manifest, read_version
from tests.publish import small_steps
from tests.publish.fixtures import Publish


def test_a_version_is_what_was_staged(publish_one: Publish, destination: DestinationConfig, workspace: str) -> None:
    result = publish_one(document={"recipe": {"dataset": "demo"}, "seed": 7, "metrics": {"entropy": 0.9}, "note": "x"})

    assert (result.status, result.version, result.tag, result.previous) == ("published", 1, "v1", None)
    assert len(pd.read_parquet(result.data)) == result.rows == 200
    version = read_version(destination, "demo", "latest", workspace)
    manifest = read_manifest(version)
    assert (version.version, version.current, version.tags) == (1, True, ["latest"])
    assert (manifest.seed, manifest.metrics, manifest.document) == (7, {"entropy": 0.9}, {"note": "x"})
    assert manifest.counts["read"] == 501
    for entry in manifest.files:
        assert (
            hashlib.sha256(storage.read_bytes(storage.join(version.location, entry.path))).hexdigest() == entry.sha256
        )


def test_no_secret_of_a_source_uri_is_published(publish_one: Publish) -> None:
    source = {"uri": ["https://me:hunter2@pool/x.parquet?X-Amz-Signature=abc"]}
    text = storage.read_bytes(publish_one(document={"recipe": {"source": source}}).manifest).decode()
    assert "s3://pool/0.parquet" in text
    assert "https://pool/x.parquet" in text
    assert "hunter2" not in text
    assert "Signature" not in text


def test_the_same_rows_again_are_unchanged_unless_forced(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    first, again, forced = publish_one(), publish_one(), publish_one(force=True)
    assert (again.status, again.version) == ("unchanged", 1)
    assert (forced.status, forced.version) == ("published", 2)
    assert forced.location != first.location
    assert len(pd.read_parquet(first.data)) == len(pd.read_parquet(forced.data))


def test_the_same_rows_from_another_workspace_are_unchanged(
    publish_one: Publish, destination: DestinationConfig, workspace: str, run: Run
) -> None:
    publish_one()
    storage.remove(storage.join(workspace, "demo"))
    assert publish_one().status == "unchanged"


def test_a_run_killed_after_its_commit_finds_its_version(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one()
    publish_one(seed=1)
    storage.remove(storage.join(destination.uri, "demo", "versions.json"))
    resumed = publish_one()
    assert (resumed.status, resumed.version) == ("unchanged", 1)
    assert [
        version["version"] for version in storage.read_json(storage.join(destination.uri, "demo", "versions.json"))
    ] == [2, 1]
    assert next(v for v in list_versions(destination, "demo", workspace) if v.current).version == 2


def test_extras_lie_in_the_version(publish_one: Publish, tmp_path: Path) -> None:
    (tmp_path / "docs" / "static").mkdir(parents=True)
    (tmp_path / "docs" / "index.html").write_text("<html>")
    (tmp_path / "docs" / "static" / "style.css").write_text("p{}")
    result = publish_one(
        extras={
            "card.html": b"<card>",
            "docs": str(tmp_path / "docs"),
            "a.css": str(tmp_path / "docs/static/style.css"),
        }
    )
    for path in ("card.html", "docs/index.html", "docs/static/style.css", "a.css"):
        assert storage.exists(storage.join(result.location, path))


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "data/part-99999.parquet", "manifest.json", ""])
@pytest.mark.long
def test_extras_stay_in_their_place(publish_one: Publish, name: str) -> None:
    with pytest.raises(RecipeError, match="place for an extra file"):
        publish_one(extras={name: b"evil"})


@pytest.mark.long
def test_columns_may_come_go_and_change_type(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one(extra={"score": pa.array(range(500), pa.int64())})
    publish_one(seed=1)
    publish_one(seed=2, extra={"score": pa.array([str(i) for i in range(500)])})
    publish_one(seed=3, extra={"score": pa.array(range(500), pa.int64())})
    with dataset_table(destination, "demo", workspace) as table:
        kinds = []
        for number in (1, 2, 3, 4):
            rows = table.scan(snapshot_id=find(table, number).snapshot_id).to_arrow()
            kinds.append(str(rows.schema.field("score").type) if "score" in rows.column_names else None)
            if kinds[-1] is not None:
                assert [str(s) for s in rows["score"].to_pylist()] == [
                    str(int(one.removeprefix("doc-"))) for one in rows["ek_id"].to_pylist()
                ]
        assert kinds == ["int64", None, "string", "int64"]
        assert table.scan().to_arrow().schema.field("score").type == pa.int64()


def test_readers_of_the_current_version_see_no_column_of_one_being_audited(
    tmp_path: Path,
    destination: DestinationConfig,
    workspace: str,
    publish_one: Publish,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish_one()
    before: list[list[str]] = []

    def look(*_: object) -> None:
        with dataset_table(destination, "demo", workspace) as table:
            assert any(name.startswith("audit-") for name in table.metadata.refs)
            before.append(table.scan().to_arrow().column_names)
            assert [version.version for version in versions(table)] == [1]

    monkeypatch.setattr(audit, "require_files", look)
    publish_one(seed=1, extra={"new": pa.array(range(500))})
    assert "new" not in before[0]
    with dataset_table(destination, "demo", workspace) as table:
        assert "new" in table.scan().to_arrow().column_names
        assert not any(name.startswith("audit-") for name in table.metadata.refs)


def test_staged_files_that_vanished_are_staged_anew_by_the_next_run(
    tmp_path: Path, destination: DestinationConfig, workspace: str, run: Run
) -> None:
    small = small_steps.make(tmp_path / "steps")
    staged = STAGE(destination.staging(), StageInputs.of(small.refs), run)
    storage.remove(storage.join(staged.facts["location"], "fates", "quarantined.parquet"))
    with pytest.raises(StorageError, match="run again"):
        publish(destination, "demo", staged, {}, {}, workspace)
    assert not storage.exists(storage.join(staged.uri, DONE))
    assert list_versions(destination, "demo", workspace) == []
    again = STAGE(destination.staging(), StageInputs.of(small.refs), run)
    assert publish(destination, "demo", again, {}, {}, workspace).version == 1


def test_missing_versions_are_named(publish_one: Publish, destination: DestinationConfig, workspace: str) -> None:
    assert list_versions(destination, "demo", workspace) == []
    with pytest.raises(VersionNotFound, match="no versions yet"):
        read_version(destination, "demo", 1, workspace)
    publish_one()
    with pytest.raises(VersionNotFound, match=r"no version 'v9'\n  found: v1, latest"):
        read_version(destination, "demo", "v9", workspace)


def test_a_catalog_of_a_newer_product_is_refused(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one()
    with dataset_table(destination, "demo", workspace) as table:
        table.transaction().set_properties({FORMAT_PROPERTY: "9"}).commit_transaction()
    with pytest.raises(RecipeError, match="newer Evenkeel"):
        publish_one(seed=1)
    with pytest.raises(RecipeError, match="newer Evenkeel"):
        list_versions(destination, "demo", workspace)


def test_a_dataset_does_not_move_silently(
    publish_one: Publish, destination: DestinationConfig, workspace: str, tmp_path: Path
) -> None:
    destination = destination.model_copy(update={"catalog": f"sqlite:///{tmp_path}/catalog.db"})
    publish_one(destination)
    elsewhere = destination.model_copy(update={"uri": str(tmp_path / "elsewhere")})
    with pytest.raises(RecipeError, match="published elsewhere"):
        list_versions(elsewhere, "demo", workspace)


@pytest.mark.long
def test_a_publisher_whom_another_overtakes_before_its_commit_publishes_the_next_number(
    publish_one: Publish, destination: DestinationConfig, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marker knows the other's version before this publisher's table does: that is no other catalog."""
    publish_one()
    place = "evenkeel.tasks.publish.publish.require_still_kept"

    def late(table: Table, folder: str) -> None:
        monkeypatch.setattr(place, require_still_kept)
        publish_one(seed=2)
        require_still_kept(table, folder)

    monkeypatch.setattr(place, late)
    assert publish_one(seed=1).version == 3
    assert [version.version for version in list_versions(destination, "demo", workspace)] == [3, 2, 1]


def test_times_that_python_cannot_hold_are_published_without_bounds(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    far = 9 * 10**17  # microseconds: the year 30490
    publish_one(extra={"until": pa.array([far] * 500, pa.timestamp("us"))})
    with dataset_table(destination, "demo", workspace) as table:
        assert set(table.scan().to_arrow()["until"].cast(pa.int64()).to_pylist()) == {far}
