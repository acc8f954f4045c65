"""Stores that let nobody write, and clocks that run back: said with what to do, and nothing is changed or lost."""

import ctypes
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError
from evenkeel.tasks.publish import trail
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.versions.listing import list_versions, read_version
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.repair import repair
from evenkeel.tasks.versions.tags import history, rollback, tag
from evenkeel.tasks.versions.takedown import takedown
from evenkeel.tasks.versions.trash import restore
from evenkeel.tasks.versions.verify import verify
from tests.faults.killing import Call
from tests.faults.publishing import Job
from tests.publish.fixtures import Publish
from tests.publish.test_identity import contents

EAGER = Retention(keep_last=1, keep_days=0, grace_hours=0)


def obeying(what: Callable[[], object]) -> None:
    """Do it in a process that obeys the modes of files, also where it is root's."""
    if os.geteuid() == 0:
        header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None, use_errno=True).capset(header, none):
            raise OSError(ctypes.get_errno(), "capset")
    what()


def read(config: DestinationConfig, workspace: str) -> None:
    """Read all that can be read."""
    assert [one.version for one in list_versions(config, "demo", workspace)] == [3, 1]
    assert verify(config, "demo", 1, workspace).sound
    assert prune(config, "demo", workspace).versions == [1]
    assert history(config, "demo", workspace)


def refused(actions: list[Callable[[], object]]) -> None:
    """Try each, and expect to be told that this process may not write, and what to look at."""
    who = "(permissions and credentials|credentials of the process)"
    for action in actions:
        with pytest.raises(StorageError, match=rf"^not allowed to write(.|\n)*{who}"):
            action()


@pytest.fixture
def read_only(
    publish_one: Publish, destination: DestinationConfig, workspace: str
) -> Iterator[Callable[[], DestinationConfig]]:
    """A destination with v1 and v3, and v2 in the trash, that becomes read-only when it is asked for."""
    config = destination.model_copy(update={"retention": EAGER})
    for seed in range(3):
        publish_one(seed=seed)
    prune(
        destination.model_copy(update={"retention": Retention(grace_hours=0)}),
        "demo",
        workspace,
        drop=[2],
        dry_run=False,
    )
    places = [Path(config.uri), *Path(config.uri).rglob("*")]
    modes = {place: place.stat().st_mode for place in places}

    def close() -> DestinationConfig:
        for place, mode in modes.items():
            place.chmod(mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
        return config

    yield close
    for place, mode in modes.items():
        place.chmod(mode)


@pytest.mark.long
def test_a_read_only_disk_is_read_and_whatever_writes_says_that_it_may_not(
    read_only: Callable[[], DestinationConfig], workspace: str, tmp_path: Path
) -> None:
    config = read_only()
    before, note = contents(Path(config.uri)), tmp_path / "note"
    assert Call(partial(obeying, partial(read, config, workspace)), note).ends(), note.read_text()
    actions: list[Callable[[], object]] = [
        Job(tmp_path, config, 7, workspace).run,
        partial(tag, config, "demo", 1, "prod", workspace),
        partial(rollback, config, "demo", 1, workspace),
        partial(prune, config, "demo", workspace, dry_run=False),
        partial(restore, config, "demo", 2, workspace),
        partial(takedown, config, "demo", ["doc-0000001"], workspace, dry_run=False),
        partial(repair, config, "demo", left_out=[1], dry_run=False),
    ]
    assert Call(partial(obeying, partial(refused, actions)), note).ends(), note.read_text()
    assert contents(Path(config.uri)) == before


@pytest.mark.long
def test_a_clock_that_runs_back_keeps_the_order_of_what_was_done(
    publish_one: Publish, destination: DestinationConfig, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_one()
    tag(destination, "demo", 1, "prod", workspace)
    real = trail.entry

    def last_year(*told: object, **more: object) -> trail.Entry:
        one = real(*told, **more)  # type: ignore[arg-type]
        return one.model_copy(update={"when": f"2025{one.when[4:]}"})

    monkeypatch.setattr(trail, "entry", last_year)
    assert publish_one(seed=1).version == 2
    rollback(destination, "demo", 1, workspace, "v2 has a bug")
    monkeypatch.undo()
    assert publish_one(seed=2).status == "beside"
    told = [(one.action, one.version, one.when[:4]) for one in history(destination, "demo", workspace)]
    now = real("held").when[:4]
    assert told == [
        ("published", 3, now),
        ("rolled back", 1, "2025"),
        ("published", 2, "2025"),
        ("promoted", 1, now),
        ("published", 1, now),
    ]
    assert read_version(destination, "demo", "latest", workspace).version == 1
    index = storage.read_json(storage.join(destination.uri, "demo", "versions.json"))
    assert [one["version"] for one in index] == [3, 2, 1]
