"""SIGKILL anywhere in what is done to versions leaves what was before or what is after; done again it is finished."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

import evenkeel
from evenkeel.infra import storage
from evenkeel.infra.errors import CatalogMismatch, InputError, RecipeError, VersionNotFound
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.versions.listing import list_versions
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.repair import repair
from evenkeel.tasks.versions.tags import history, rollback, tag, untag
from evenkeel.tasks.versions.takedown import takedown
from evenkeel.tasks.versions.trash import restore, trashed
from evenkeel.tasks.versions.verify import verify
from tests.examples import telling
from tests.faults.killing import Call
from tests.faults.publishing import Job

Names = dict[str, int]


@dataclass(frozen=True)
class Life:
    """A destination whose v1 is tagged, whose v2 is in the trash, whose v4 is current; `saved` holds it as it was."""

    folder: Path
    config: DestinationConfig
    workspace: str

    def begin_again(self) -> None:
        """Put the destination back to where it was, at the same place."""
        shutil.rmtree(self.config.uri)
        shutil.copytree(self.folder / "saved", self.config.uri)

    def state(self) -> tuple[Names, bool]:
        """Return what every name means, numbers among them, and whether a version is held; each version is whole."""
        names: Names = {}
        known = list_versions(self.config, "demo", self.workspace)
        for version in known:
            assert verify(self.config, "demo", version.version, self.workspace).sound
            names |= dict.fromkeys((f"v{version.version}", *version.tags), version.version)
        assert [version.version for version in known if version.current] == [names["latest"]]
        return names, any(version.held for version in known)

    def is_refused(self) -> bool:
        """Tell whether the folder cannot be read until it is repaired: nobody is shown half of it."""
        try:
            list_versions(self.config, "demo", self.workspace)
        except CatalogMismatch:
            return True
        return False


BEFORE: tuple[Names, bool] = ({"v1": 1, "v3": 3, "v4": 4, "prod": 1, "latest": 4}, False)


def changed(held: bool = False, **names: int) -> tuple[Names, bool]:
    """Return the state with other names; 0 takes one away."""
    return {name: number for name, number in {**BEFORE[0], **names}.items() if number}, held


def drop(config: DestinationConfig, workspace: str, *, at_once: bool = False) -> None:
    """Prune v3, or finish a prune that had let it go already."""
    known = {version.version for version in list_versions(config, "demo", workspace)}
    prune(config, "demo", workspace, drop={3} & known, at_once=at_once, dry_run=False)


def take_down(config: DestinationConfig, workspace: str) -> None:
    """Keep a row out of coming versions."""
    takedown(config, "demo", ["doc-0000001"], workspace, reason="asked", dry_run=False)


VERBS: dict[str, tuple[Callable[[DestinationConfig, str], Callable[[], object]], tuple[Names, bool], str]] = {
    "tag": (lambda c, w: partial(tag, c, "demo", 3, "prod", w), changed(prod=3), "promoted"),
    "untag": (lambda c, w: partial(untag, c, "demo", "prod", w), changed(prod=0), "untagged"),
    "rollback": (lambda c, w: partial(rollback, c, "demo", 3, w), changed(latest=3, held=True), "rolled back"),
    "prune": (lambda c, w: partial(drop, c, w), changed(v3=0), "pruned"),
    "prune at once": (lambda c, w: partial(drop, c, w, at_once=True), changed(v3=0), "pruned"),
    "restore": (lambda c, w: partial(restore, c, "demo", 2, w), changed(v2=2), "restored"),
    "repair": (lambda c, _: partial(repair, c, "demo", dry_run=False), BEFORE, "repaired"),
    "rebuild": (lambda c, _: partial(repair, c, "demo", dry_run=False), BEFORE, "repaired"),
    "take down": (lambda c, w: partial(take_down, c, w), BEFORE, "took down"),
}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A destination with some life behind it."""
    folder = tmp_path_factory.mktemp("life")
    config = DestinationConfig(
        uri=str(folder / "published"), rows_per_file=30, retention=Retention(keep_last=1000, grace_hours=0)
    )
    life = Life(folder, config, str(folder / "workspace"))
    for seed in range(4):
        Job(folder, config, seed, life.workspace).run()
    tag(config, "demo", 1, "prod", life.workspace)
    prune(config, "demo", life.workspace, drop=[2], dry_run=False)
    assert life.state() == BEFORE
    shutil.copytree(config.uri, folder / "saved")
    return life


@pytest.mark.long
@pytest.mark.parametrize("verb", telling(["prune", "rebuild"], "rebuild"))
def test_a_verb_killed_is_done_or_not_and_can_be_done_again(life: Life, verb: str) -> None:
    kill_everywhere(life, verb, step=13)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_killed_anywhere_is_done_or_not_and_can_be_done_again(life: Life, verb: str) -> None:
    assert kill_everywhere(life, verb, step=1) > 6


def kill_everywhere(life: Life, verb: str, step: int) -> int:
    """Kill a verb before every `step`th operation, and return before which it ended."""
    begin, after, action = VERBS[verb]
    what = begin(life.config, life.workspace)
    die_at, ended = 1, False
    while not ended:
        life.begin_again()
        if verb in ("repair", "rebuild"):
            (Path(life.config.uri) / "catalog.db").unlink()
        if verb == "rebuild":
            shutil.rmtree(Path(life.config.uri) / "demo" / "metadata")
        ended = Call(what, life.folder / "error", die_at).ends()
        if ended or verb != "rebuild" or not life.is_refused():
            assert life.state() in ((after,) if ended else (BEFORE, after))
        with suppress(RecipeError, VersionNotFound):  # there is nothing to restore, no such tag: it was done
            what()
        require_finished(life, after, action)
        die_at += step
    coming = Job(life.folder, life.config, 9, life.workspace)
    if verb == "take down":
        with pytest.raises(InputError, match="doc-0000001"):
            coming.run()
        return die_at - step
    made = coming.run()
    assert (made.version, made.status) == (5, "beside" if after[1] else "published")
    return die_at - step


def require_finished(life: Life, after: tuple[Names, bool], action: str) -> None:
    """Hold the state, trail, folders, index and the next number against what was done."""
    config, workspace = life.config, life.workspace
    assert life.state() == after
    assert history(config, "demo", workspace)[0].action == action
    assert repair(config, "demo").action == "none"
    index = storage.read_json(storage.join(config.uri, "demo", "versions.json"))
    assert {one["version"] for one in index} == {one.version for one in list_versions(config, "demo", workspace)}
    assert evenkeel.open(storage.join(config.uri, "demo")).version == after[0]["latest"]
    if "v2" not in after[0] and action != "took down":  # a version with a row that was taken down is not restored
        with dataset_table(config, "demo", workspace) as table:
            assert not [name for name in table.metadata.refs if name.startswith("audit-")]
            gone = {one.version for one in trashed(table)}
        for number in gone - {None}:
            assert number is not None
            back = restore(config, "demo", number, workspace)
            assert len(pd.read_parquet(back.data)) == back.rows
