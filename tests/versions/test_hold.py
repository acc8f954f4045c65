"""A version that was rolled back to stays the current one until it is released, and the table says who did what."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from evenkeel.infra.errors import VersionNotFound
from evenkeel.tasks.publish import commit, trail
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.publish import PublishResult
from evenkeel.tasks.publish.trail import MAX_ENTRIES, user
from evenkeel.tasks.versions.listing import list_versions, read_version
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.tags import history, hold, release, rollback, tag, untag
from evenkeel.tasks.versions.takedown import takedown
from evenkeel.tasks.versions.trash import restore
from tests.publish.fixtures import Publish


def current(destination: DestinationConfig, workspace: str) -> list[int]:
    return [version.version for version in list_versions(destination, "demo", workspace) if version.current]


def outcome(found: PublishResult) -> tuple[str, int, int | None]:
    return found.status, found.version, found.held.version if found.held else None


@pytest.mark.long
def test_a_rollback_holds_until_it_is_released(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one()
    publish_one(seed=1)
    back = rollback(destination, "demo", 1, workspace, "v2 has a bug")
    assert back.held is not None
    assert (back.held.version, back.held.who, back.held.reason) == (1, user(), "v2 has a bug")
    assert outcome(publish_one(seed=1)) == ("unchanged", 2, 1)  # what was rolled back from is not published again
    assert outcome(publish_one(seed=2)) == ("beside", 3, 1)
    assert outcome(publish_one(seed=2)) == ("unchanged", 3, 1)
    assert outcome(publish_one(seed=2, force=True)) == ("beside", 4, 1)
    assert outcome(publish_one()) == ("unchanged", 1, 1)
    assert current(destination, workspace) == [1]
    assert read_version(destination, "demo", 3, workspace).parent == 1
    with dataset_table(destination, "demo", workspace) as table:
        assert table.metadata.refs["latest"].snapshot_id == table.metadata.refs["v1"].snapshot_id
        assert table.scan().to_arrow().num_rows == back.rows

    assert release(destination, "demo", workspace).held is None
    assert current(destination, workspace) == [1]
    with pytest.raises(VersionNotFound, match="no version of 'demo' is held"):
        release(destination, "demo", workspace)
    assert outcome(publish_one(seed=2)) == ("reinstated", 3, None)  # the same rows need no second number
    assert current(destination, workspace) == [3]
    assert outcome(publish_one(seed=3)) == ("published", 5, None)
    assert current(destination, workspace) == [5]


@pytest.mark.parametrize("move", [rollback, pytest.param(hold, marks=pytest.mark.slow)])
@pytest.mark.long
def test_the_hold_and_the_move_are_one_commit(
    publish_one: Publish,
    destination: DestinationConfig,
    workspace: str,
    monkeypatch: pytest.MonkeyPatch,
    move: Callable[..., object],
) -> None:
    publish_one()
    publish_one(seed=1)
    commits: list[object] = []
    apply = commit.apply

    def counted(*given: Any) -> None:
        commits.append(given)
        apply(*given)

    monkeypatch.setattr(commit, "apply", counted)
    move(destination, "demo", 1, workspace, "why")
    assert len(commits) == 1
    assert current(destination, workspace) == [1]


@pytest.mark.slow
def test_a_publisher_that_meets_a_hold_publishes_beside_it(
    publish_one: Publish, destination: DestinationConfig, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hold comes between the audit and the commit: the commit fails, and the next attempt sees the hold."""
    publish_one()
    real = commit.make_visible

    def late(*given: Any) -> None:
        monkeypatch.setattr(commit, "make_visible", real)
        hold(destination, "demo", 1, workspace, "meanwhile")
        real(*given)

    monkeypatch.setattr(commit, "make_visible", late)
    assert outcome(publish_one(seed=1)) == ("beside", 2, 1)
    assert current(destination, workspace) == [1]


@pytest.mark.slow
def test_a_takedown_replaces_a_held_version_and_the_hold_moves_on(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one(extra={"word": pa.array(range(500))})
    publish_one(seed=1)
    rollback(destination, "demo", 1, workspace, "keep this")
    with dataset_table(destination, "demo", workspace) as table:
        row = table.scan(selected_fields=("ek_id",)).to_arrow()["ek_id"][0].as_py()
    done = takedown(destination, "demo", [row], workspace, republish=True, dry_run=False).republished
    assert done is not None
    assert outcome(done) == ("published", 3, 3)
    held = read_version(destination, "demo", "latest", workspace)
    assert held.held is not None
    assert (held.version, held.held.reason, held.parent) == (3, "keep this", 1)
    assert outcome(publish_one(seed=2)) == ("beside", 4, 3)


@pytest.mark.long
def test_the_table_says_who_did_what_and_why(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one(document={"reason": "the first", "approval": "looks good"})
    publish_one(seed=1)
    tag(destination, "demo", 1, "production", workspace)
    tag(destination, "demo", 2, "production", workspace)
    rollback(destination, "demo", 1, workspace, "v2 has a bug")
    release(destination, "demo", workspace, "mended")
    untag(destination, "demo", "production", workspace)
    takedown(destination, "demo", ["none"], workspace, reason="asked", dry_run=False)
    prune(destination, "demo", workspace, drop=[2], dry_run=False)
    restore(destination, "demo", 2, workspace)
    told = [
        (one.action, one.version, one.previous, one.tag, one.reason) for one in history(destination, "demo", workspace)
    ]
    assert [(one[0], one[1]) for one in told[:3]] == [("restored", 2), ("pruned", 2), ("took down", None)]
    assert told[2][4].startswith("1 ids, in ")
    assert "none" not in told[2][4]
    assert told[3:] == [
        ("untagged", 2, None, "production", ""),
        ("released", 1, None, "", "mended"),
        ("rolled back", 1, 2, "", "v2 has a bug"),
        ("promoted", 2, 1, "production", ""),
        ("promoted", 1, None, "production", ""),
        ("published", 2, 1, "", ""),
        ("published", 1, None, "", "the first"),
        ("approved", 1, None, "", "looks good"),
    ]
    assert {one.who for one in history(destination, "demo", workspace)} == {user()}


def test_the_trail_is_bounded_and_keeps_the_newest(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> None:
    publish_one()
    with dataset_table(destination, "demo", workspace) as table:
        many = [trail.entry("held", number) for number in range(MAX_ENTRIES + 20)]
        for start in range(0, len(many), 55):
            commit.apply(table, trail.record(table.metadata, *many[start : start + 55]), ())
        commit.apply(table, trail.record(table.metadata, trail.entry("held", 7, reason="x" * 10_000)), ())
    kept = history(destination, "demo", workspace)
    assert len(kept) == MAX_ENTRIES
    assert [one.version for one in kept[:3]] == [7, MAX_ENTRIES + 19, MAX_ENTRIES + 18]
    assert len(kept[0].reason) == trail.MAX_REASON
