"""A prune removes what no tag, no rule and no publisher holds, and nothing else."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyiceberg.table import Table

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, StorageError
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.extras import keep_blocked
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.publish import publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions import leftovers
from evenkeel.tasks.versions.listing import list_versions, read_version
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.tags import release, rollback, tag
from evenkeel.tasks.versions.verify import verify
from tests.examples import telling
from tests.publish import small_steps
from tests.publish.fixtures import Publish

EAGER = Retention(keep_last=1, keep_days=0, grace_hours=0, trash_days=0)


@pytest.mark.long
def test_prune_keeps_what_the_rule_holds(publish_one: Publish, destination: DestinationConfig, workspace: str) -> None:
    results = [publish_one(seed=seed) for seed in range(6)]
    tag(destination, "demo", 2, "prod", workspace)
    rollback(destination, "demo", 4, workspace)
    rule = destination.model_copy(update={"retention": EAGER})

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
    assert prune(rule, "demo", workspace).versions == [6]  # v4 is held as the current one
    release(destination, "demo", workspace)
    assert publish_one(seed=10).version == 8
    assert prune(rule, "demo", workspace).versions == [4, 6, 7]


def test_the_report_of_a_blocked_run_is_part_of_no_version_and_is_pruned(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one()
    folder = keep_blocked(destination, "demo", "1234abcd", {"card.html": b"<p>blocked", "docs/index.html": b"why"})
    assert storage.read_bytes(storage.join(folder, "docs", "index.html")) == b"why"
    assert verify(destination, "demo", 1, workspace).sound
    assert prune(destination, "demo", workspace, dry_run=False).folders == []
    rule = destination.model_copy(update={"retention": EAGER})
    assert prune(rule, "demo", workspace).folders == [folder]
    assert storage.exists(folder)
    assert prune(rule, "demo", workspace, dry_run=False).folders == [folder]
    assert not storage.exists(folder)
    assert verify(destination, "demo", 1, workspace).sound


@pytest.mark.long
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.parametrize("moment", telling(["before the mark", "after the mark", "after the look"], "after the mark"))
@pytest.mark.long
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

    real_write, real_look, real_remove = storage.write_bytes, leftovers.referenced, storage.remove

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
        monkeypatch.setattr(leftovers, "referenced", look)
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


@pytest.mark.slow
def test_clocks_that_disagree_change_no_order(
    publish_one: Publish, destination: DestinationConfig, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenkeel.tasks.publish import manifest as module

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
