"""A dataset's life as a random walk: everything that can be done to its versions, in any order, against a model of it.

After every step: no version that could be read is lost or changed, numbers only rise, every card and count belongs to
its version, one version is current, the audit trail ends with what was done, and the events that were emitted say what
the trail says.
"""

import shutil
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from evenkeel.flows import events
from evenkeel.flows import versions as operations
from evenkeel.infra.catalog import embedded
from evenkeel.infra.errors import CatalogMismatch, InputError, RecipeError, VersionNotFound
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.versions import tags
from evenkeel.tasks.versions.listing import list_versions
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.repair import repair
from evenkeel.tasks.versions.trash import restore
from tests.faults.killing import Call
from tests.faults.publishing import Job
from tests.versions.walk_model import Model, ids_of

SEEDS = st.integers(0, 4)
WORKSPACES = st.sampled_from(["a", "b"])
NAMES = st.sampled_from(["prod", "best"])
CHOICE = st.integers(0, 10_000)
MAX_TAKEDOWNS = 2
VERBS = st.sampled_from(["tag", "rollback", "prune", "restore", "repair"])


class Walk(Model):
    """The walk over a destination on the local disk; `uri` and `environment` say otherwise in a subclass."""

    @initialize(seed=SEEDS)
    def begin(self, seed: int) -> None:
        """Every walk begins with a version."""
        self.run(seed, "a", False)

    @rule(seed=SEEDS, workspace=WORKSPACES, force=st.booleans())
    def run(self, seed: int, workspace: str, force: bool) -> None:
        """Curate: one of a few pools, from one of two workspaces."""
        try:
            result = self.publish(seed, workspace, force)
        except InputError:
            if not self.taken:
                raise
            return
        wanted = ids_of(self.read(result.version))
        if result.status in ("published", "beside"):
            assert result.version == self.highest + 1
            assert not wanted & self.taken
            self.highest = result.version
            self.rows[result.version] = wanted
        assert (result.status == "beside") <= self.held
        assert self.rows[result.version] == wanted
        if result.status in ("published", "reinstated"):
            assert not self.held
            self.current = result.version
        events.emit_published(result)
        if result.status != "unchanged":
            self.did("published", result.version, current=result.status != "beside")

    @precondition(lambda self: self.killed < self.kills)
    @rule(seed=SEEDS, workspace=WORKSPACES, die_at=st.integers(1, 60))
    def die(self, seed: int, workspace: str, die_at: int) -> None:
        """Kill a publisher before an operation on a store or the catalog: the old version or the new one is there."""
        self.killed += 1
        job = Job(self.folder, self.config, 100 + seed, self.workspace(workspace), die_at, environment=self.environment)
        process = job.start()
        process.join()
        for version in list_versions(self.config, "demo", job.workspace):
            if version.version not in self.rows:
                assert version.version == self.highest + 1
                self.highest, self.rows[version.version] = version.version, ids_of(version)
            if version.current and version.version != self.current:
                assert not self.held
                self.current = version.version

    @precondition(lambda self: self.killed < 2 * self.kills)
    @rule(verb=VERBS, choice=CHOICE, workspace=WORKSPACES, die_at=st.integers(1, 30))
    def die_at_a_verb(self, verb: str, choice: int, workspace: str, die_at: int) -> None:
        """Kill what is done to versions before an operation on a store or the catalog, and do it again to its end."""
        doing = self.doing(verb, choice, self.workspace(workspace))
        if doing is None:
            return
        self.killed += 1
        what, change = doing
        before = self.names()
        Call(what, self.folder / "error", die_at, environment=self.environment).ends()
        if verb != "repair":
            between = self.names()
            change()
            assert between in (before, self.names(model=True))
        try:
            what()
        except (InputError, RecipeError, VersionNotFound):
            assert self.names() == self.names(model=True)

    def doing(self, verb: str, choice: int, workspace: str) -> "tuple[Callable[[], object], Callable[[], None]] | None":
        """Return what does something to a version and what does it to the model; None where there is nothing for it."""
        place = self.config, "demo"
        if verb == "repair":
            return partial(lose_and_repair, self.config), lambda: None
        among: Collection[int] = {"prune": self.free(), "restore": [*self.trash]}.get(verb, [*self.rows])
        if not among or (verb == "restore" and self.taken):
            return None
        number = self.pick(choice, among)
        changes: dict[str, tuple[Callable[[], object], Callable[[], None]]] = {
            "tag": (partial(tags.tag, *place, number, "prod", workspace), lambda: self.tags.update(prod=number)),
            "rollback": (partial(tags.rollback, *place, number, workspace), lambda: self.set_current(number)),
            "prune": (partial(drop, self.config, number, workspace), lambda: self.let_go(number)),
            "restore": (partial(restore, *place, number, workspace), lambda: self.bring_back(number)),
        }
        return changes[verb]

    @precondition(lambda self: bool(self.rows))
    @rule(choice=CHOICE, workspace=WORKSPACES, back=st.booleans())
    def hold(self, choice: int, workspace: str, back: bool) -> None:
        """Roll back to a version, or hold it."""
        number = self.pick(choice, self.rows)
        move = operations.rollback if back else operations.hold
        move(self.recipe(workspace), f"v{number}", "because")
        self.did("rolled-back" if back else "held", number, previous=self.current)
        self.set_current(number)

    @precondition(lambda self: self.held)
    @rule(workspace=WORKSPACES)
    def release(self, workspace: str) -> None:
        """Release what is held: it stays current until a run publishes."""
        found = operations.release(self.recipe(workspace), "done").result
        assert found.version == self.current
        self.did("released", found.version)
        self.held = False

    @precondition(lambda self: bool(self.rows))
    @rule(choice=CHOICE, name=NAMES, workspace=WORKSPACES)
    def tag(self, choice: int, name: str, workspace: str) -> None:
        """Let a name mean a version."""
        number = self.pick(choice, self.rows)
        operations.tag(self.recipe(workspace), f"v{number}", name)
        self.did("promoted", number, previous=self.tags.get(name), tag=name)
        self.tags[name] = number

    @precondition(lambda self: bool(self.tags))
    @rule(workspace=WORKSPACES)
    def untag(self, workspace: str) -> None:
        """Remove a name."""
        name, number = self.tags.popitem()
        assert operations.untag(self.recipe(workspace), name).result.version == number

    @precondition(lambda self: self.free())
    @rule(choice=CHOICE, workspace=WORKSPACES)
    def drop(self, choice: int, workspace: str) -> None:
        """Prune a version that nothing holds, and the files of killed publishers."""
        number = self.pick(choice, self.free())
        found = operations.prune(self.recipe(workspace), [str(number)], dry_run=False).result
        assert found.versions == [number]
        self.let_go(number)

    @precondition(lambda self: bool(self.trash) and not self.taken)
    @rule(choice=CHOICE, workspace=WORKSPACES)
    def restore(self, choice: int, workspace: str) -> None:
        """Bring a pruned version back under its number."""
        number = self.pick(choice, self.trash)
        assert operations.restore(self.recipe(workspace), f"v{number}").result.version == number
        self.bring_back(number)

    @precondition(lambda self: len(self.taken) < MAX_TAKEDOWNS)
    @rule(choice=CHOICE, workspace=WORKSPACES)
    def take_down(self, choice: int, workspace: str) -> None:
        """Take a row of the current version down: no coming version may hold it, published ones are named."""
        assert self.current is not None
        one = sorted(self.rows[self.current])[choice % len(self.rows[self.current])]
        held = {number for number, ids in self.rows.items() if one in ids}
        found = operations.takedown(self.recipe(workspace), [one], "asked", dry_run=False).result
        assert set(found.held) == held
        told = self.told()
        assert [what for what, _ in told] == ["withdrawn"] * len(held)
        assert {payload["version"] for _, payload in told} == held
        last = tags.history(self.config, "demo", self.workspace("a"))[0]
        assert (last.action, last.version) == ("took down", None)
        assert all(payload["who"] == last.who and last.reason.endswith(f": {payload['reason']}") for _, payload in told)
        self.taken.add(one)

    @rule(name=WORKSPACES)
    def lose_workspace(self, name: str) -> None:
        """Somebody cleans up."""
        shutil.rmtree(self.workspace(name), ignore_errors=True)

    @rule(seed=SEEDS, workspace=WORKSPACES)
    def lose_catalog(self, seed: int, workspace: str) -> None:
        """The catalog is gone: versions are read from the folder, publishing is refused until it is repaired."""
        Path(embedded(self.config.uri)).unlink()
        self.versions_are_those_of_the_model()
        try:
            self.publish(seed, workspace, True)
        except (CatalogMismatch, InputError):
            pass
        else:
            raise AssertionError("published beside versions that the catalog does not know")
        found = repair(self.config, "demo", dry_run=False)
        assert sorted(found.versions) == sorted(self.rows)
        assert found.highest >= self.highest


def lose_and_repair(config: DestinationConfig) -> None:
    """Lose the catalog, if it is there, and rebuild it."""
    Path(embedded(config.uri)).unlink(missing_ok=True)
    repair(config, "demo", dry_run=False)


def drop(config: DestinationConfig, number: int, workspace: str) -> None:
    """Prune a version, or finish a prune that had let it go already."""
    known = {version.version for version in list_versions(config, "demo", workspace)}
    prune(config, "demo", workspace, drop={number} & known, dry_run=False)
