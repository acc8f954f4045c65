"""Names move atomically; a diff, a verification, a prune and a takedown say exactly what is and was."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyiceberg.table import Table

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError, RecipeError, StorageError, VersionNotFound
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.publish import leave_evidence, publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.publish.table import dataset_table
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions import diff as diff_module
from evenkeel.tasks.versions import prune as prune_module
from evenkeel.tasks.versions.diff import diff
from evenkeel.tasks.versions.listing import list_versions, read_version, rollback, tag, untag
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.takedown import takedown
from evenkeel.tasks.versions.verify import verify
from tests.publish import small_steps
from tests.publish.conftest import Publish

EAGER = Retention(keep_last=1, keep_days=0, grace_hours=0)


def rows(uri: str) -> pd.DataFrame:
    return pd.read_parquet(uri).set_index("ek_id")


def test_rollback_and_tags_move_names_only(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one()
    publish_one(seed=1, extra={"new": pa.array(range(500))})
    tag(destination, "demo", "v2", "prod-2026.11", workspace)
    assert rollback(destination, "demo", 1, workspace).tags == ["latest"]
    assert read_version(destination, "demo", "latest", workspace).version == 1
    assert read_version(destination, "demo", "prod-2026.11", workspace).version == 2
    with dataset_table(destination, "demo", workspace) as table:
        assert "new" not in table.scan().to_arrow().column_names
    assert tag(destination, "demo", 1, "prod-2026.11", workspace).tags == ["latest", "prod-2026.11"]
    assert untag(destination, "demo", "prod-2026.11", workspace).version == 1
    with pytest.raises(VersionNotFound):
        read_version(destination, "demo", "prod-2026.11", workspace)
    with pytest.raises(RecipeError, match="kept for the versions"):
        tag(destination, "demo", 1, "v2", workspace)
    assert publish_one(seed=2).version == 3


def test_a_tag_moved_while_reading_harms_no_reader(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one()
    with dataset_table(destination, "demo", workspace) as table:
        scan = table.scan(snapshot_id=table.metadata.refs["latest"].snapshot_id)
        expected = set(rows(read_version(destination, "demo", 1, workspace).data).index)
        publish_one(seed=1)
        assert set(scan.to_arrow()["ek_id"].to_pylist()) == expected


def test_diff_counts_what_pandas_counts(
    publish_one: Publish, destination: DestinationConfig, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = publish_one(document={"recipe": {"sampling": {"target": 200, "seed": 0}}, "metrics": {"entropy": 0.5}})
    b = publish_one(
        seed=1, rows=600, document={"recipe": {"sampling": {"target": 240, "seed": 0}}, "metrics": {"gini": 1}}
    )
    old, new = rows(a.data), rows(b.data)
    whole = diff(destination, "demo", 1, "latest", workspace)
    monkeypatch.setattr(diff_module, "ROWS_AT_ONCE", 50)
    assert diff(destination, "demo", 1, 2, workspace) == whole

    removed, added = old.index.difference(new.index), new.index.difference(old.index)
    assert (whole.added, whole.removed, whole.unchanged) == (
        len(added),
        len(removed),
        len(old.index.intersection(new.index)),
    )
    assert not whole.same_clustering
    for change in whole.groups:
        assert change.before == (old["language"] == change.value).sum()
        assert change.after == (new["language"] == change.value).sum()
        assert change.added == (new.loc[added, "language"] == change.value).sum()
        assert change.removed == (old.loc[removed, "language"] == change.value).sum()
    assert {change.value: change.before for change in whole.clusters if change.before} == {
        str(value): count for value, count in old["ek_cluster_2"].value_counts().items()
    }
    assert whole.metrics == {"entropy": (0.5, None), "gini": (None, 1)}
    assert whole.recipe == {"sampling.target": (200, 240)}


def test_verify_finds_any_flipped_byte(publish_one: Publish, destination: DestinationConfig, workspace: str) -> None:
    result = publish_one(extras={"card.html": b"<html>"})
    assert verify(destination, "demo", 1, workspace).sound
    for path in ("data/part-00001.parquet", "fates/quarantined.parquet", "card.html", "manifest.json"):
        uri = storage.join(result.location, path)
        good = storage.read_bytes(uri)
        for place in (0, len(good) // 2, len(good) - 1):
            storage.write_bytes(uri, good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
            found = verify(destination, "demo", 1, workspace)
            assert [damage.path for damage in found.damages] == [path]
            assert not found.sound
        storage.write_bytes(uri, good)
    storage.write_bytes(storage.join(result.location, "data/part-99.parquet"), b"smuggled")
    storage.remove(storage.join(result.location, "card.html"))
    assert {d.path: d.problem for d in verify(destination, "demo", 1, workspace).damages} == {
        "card.html": "is missing",
        "data/part-99.parquet": "was not published",
    }


def test_prune_keeps_what_the_rule_holds(publish_one: Publish, destination: DestinationConfig, workspace: str) -> None:
    results = [publish_one(seed=seed) for seed in range(6)]
    tag(destination, "demo", 2, "prod", workspace)
    rollback(destination, "demo", 4, workspace)
    rule = destination.model_copy(update={"retention": Retention(keep_last=1, keep_days=0, grace_hours=0)})

    plan = prune(rule, "demo", workspace)
    assert (plan.dry_run, plan.versions) == (True, [1, 3, 5])
    assert plan.kept == {6: "among the last 1", 4: "current, tag latest", 2: "tag prod"}
    assert all(storage.exists(result.location) for result in results)

    done = prune(rule, "demo", workspace, dry_run=False)
    assert (done.versions, set(plan.folders)) == (plan.versions, set(done.folders))
    assert [version.version for version in list_versions(rule, "demo", workspace)] == [6, 4, 2]
    for number, result in enumerate(results, start=1):
        assert storage.exists(result.location) == (number in (2, 4, 6))
    assert all(verify(rule, "demo", number, workspace).sound for number in (2, 4, 6))
    with dataset_table(rule, "demo", workspace) as table:
        assert len(table.scan().to_arrow()) == 200
    assert publish_one(seed=9).version == 7
    assert prune(rule, "demo", workspace).versions == [4, 6]


def test_evidence_of_a_blocked_run_is_no_part_of_any_version_and_goes_with_a_prune(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one()
    folder = leave_evidence(destination, "demo", "1234abcd", {"card.html": b"<p>blocked", "docs/index.html": b"why"})
    assert storage.read_bytes(storage.join(folder, "docs", "index.html")) == b"why"
    assert verify(destination, "demo", 1, workspace).sound
    assert prune(destination, "demo", workspace, dry_run=False).folders == []
    rule = destination.model_copy(update={"retention": EAGER})
    assert prune(rule, "demo", workspace).folders == [folder]
    assert storage.exists(folder)
    assert prune(rule, "demo", workspace, dry_run=False).folders == [folder]
    assert not storage.exists(folder)
    assert verify(destination, "demo", 1, workspace).sound


def test_prune_drops_a_named_version_but_never_a_held_one(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    for seed in range(3):
        publish_one(seed=seed)
    with pytest.raises(RecipeError, match=r"v3 is held(.|\n)*current, tag latest"):
        prune(destination, "demo", workspace, drop=["latest"], dry_run=False)
    assert prune(destination, "demo", workspace, drop=[1], dry_run=False).versions == [1]
    assert [version.version for version in list_versions(destination, "demo", workspace)] == [3, 2]
    publish_one(seed=0)
    assert [version.version for version in list_versions(destination, "demo", workspace)] == [4, 3, 2]


def test_prune_removes_abandoned_files_after_their_grace_only(
    publish_one: Publish, destination: DestinationConfig, workspace: str, run: Run, tmp_path: Path
) -> None:
    publish_one()
    staged = STAGE(destination.staging(), StageInputs.of(small_steps.make(tmp_path / "other", seed=1).refs), run)
    assert prune(destination, "demo", workspace, dry_run=False).folders == []
    eager = destination.model_copy(update={"retention": EAGER})
    assert prune(eager, "demo", workspace, dry_run=False).folders == [staged.facts["location"]]
    with pytest.raises(StorageError, match="run again"):
        publish(destination, "demo", staged, {}, {}, workspace)


def test_an_interrupted_prune_is_finished_by_the_next(
    publish_one: Publish, destination: DestinationConfig, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [publish_one(seed=seed) for seed in range(3)]
    eager = destination.model_copy(update={"retention": EAGER})
    real, calls = storage.remove, []

    def remove(uri: str) -> None:
        if "/versions/" in uri:
            calls.append(uri)
            shutil.rmtree(Path(uri) / "data")
            raise KeyboardInterrupt
        real(uri)

    monkeypatch.setattr(storage, "remove", remove)
    with pytest.raises(KeyboardInterrupt):
        prune(eager, "demo", workspace, dry_run=False)
    monkeypatch.undo()
    assert calls
    assert [version.version for version in list_versions(destination, "demo", workspace)] == [3]
    prune(destination.model_copy(update={"retention": EAGER}), "demo", workspace, dry_run=False)
    assert [storage.exists(result.location) for result in results] == [False, False, True]
    assert verify(destination, "demo", 3, workspace).sound


@pytest.mark.parametrize("moment", ["before the mark", "after the mark", "after the look"])
def test_a_publisher_that_comes_while_its_files_are_pruned_loses_nothing(
    moment: str,
    tmp_path: Path,
    destination: DestinationConfig,
    workspace: str,
    run: Run,
    publish_one: Publish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish_one(seed=1)
    small = small_steps.make(tmp_path / "steps")
    staged = STAGE(destination.staging(), StageInputs.of(small.refs), run)
    outcome: list[str] = []

    def come() -> None:
        monkeypatch.undo()
        try:
            outcome.append(publish(destination, "demo", staged, {}, {}, workspace).status)
        except StorageError as error:
            outcome.append(error.message)

    real_write, real_look, real_remove = storage.write_bytes, prune_module._referenced, storage.remove

    def write(uri: str, data: bytes) -> None:
        if uri.endswith("PRUNED"):
            come()
        real_write(uri, data)

    def look(table: Table) -> set[str]:
        if storage.exists(storage.join(staged.facts["location"], "PRUNED")):
            come()
            table.refresh()
        return real_look(table)

    def remove(uri: str) -> None:
        if uri == staged.facts["location"]:
            come()
        real_remove(uri)

    if moment == "before the mark":
        monkeypatch.setattr(storage, "write_bytes", write)
    elif moment == "after the mark":
        monkeypatch.setattr(prune_module, "_referenced", look)
    else:
        monkeypatch.setattr(storage, "remove", remove)
    prune(destination.model_copy(update={"retention": EAGER}), "demo", workspace, dry_run=False)

    lost = "staged files are missing or were removed by a prune"
    assert outcome == (["published"] if moment == "before the mark" else [lost])
    again = publish(
        destination, "demo", STAGE(destination.staging(), StageInputs.of(small.refs), run), {}, {}, workspace
    )
    assert again.version == 2
    assert all(verify(destination, "demo", number, workspace).sound for number in (1, 2))


def test_takedown_names_excludes_and_republishes(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    first, second = publish_one(extras={"card.html": b"<card>"}), publish_one(seed=1)
    evil = [
        sorted(set(rows(first.data).index) & set(rows(second.data).index))[0],
        sorted(rows(first.data).index)[-1],
        "none",
    ]
    looked = takedown(destination, "demo", evil, workspace)
    assert (looked.list, looked.nowhere) == (None, ["none"])
    assert looked.held[1] == sorted(evil[:2])
    assert publish_one(seed=2).version == 3

    done = takedown(destination, "demo", evil, workspace, reason="asked by its author", republish=True, dry_run=False)
    assert done.republished is not None
    assert done.republished.version == 4
    clean = rows(done.republished.data)
    held_by_3 = rows(read_version(destination, "demo", 3, workspace).data)
    assert set(clean.index) == set(held_by_3.index) - set(evil)
    assert verify(destination, "demo", 4, workspace).sound
    manifest = read_version(destination, "demo", 4, workspace)
    assert manifest.reason == "asked by its author"

    with pytest.raises(InputError, match="taken down would be published again"):
        publish_one(seed=0, force=True)
    assert read_version(destination, "demo", "latest", workspace).version == 4


def test_takedown_of_nothing_is_refused(publish_one: Publish, destination: DestinationConfig, workspace: str) -> None:
    with pytest.raises(InputError, match="no ids"):
        takedown(destination, "demo", [""], workspace)


def test_clocks_that_disagree_change_no_order(
    publish_one: Publish, destination: DestinationConfig, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenkeel.tasks.publish import publish as module

    class Behind(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) - timedelta(days=400)

    publish_one()
    monkeypatch.setattr(module, "datetime", Behind)
    assert publish_one(seed=1).version == 2
    monkeypatch.undo()
    assert read_version(destination, "demo", "latest", workspace).version == 2
    rule = destination.model_copy(update={"retention": Retention(keep_last=1, keep_days=30, grace_hours=0)})
    assert prune(rule, "demo", workspace).versions == []
