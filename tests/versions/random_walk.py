"""A dataset's life as a random walk: everything that can be done to its versions, in any order, against a model of it.

After every step: no version that could be read is lost or changed, numbers only rise, every card and count belongs to
its version, one version is current, and the audit trail ends with what was done.
"""

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import pyarrow.parquet as pq
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import evenkeel
from evenkeel.infra import storage
from evenkeel.infra.catalog import embedded
from evenkeel.infra.errors import CatalogMismatch, InputError, StorageError
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.publish import PublishResult, publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions import tags
from evenkeel.tasks.versions.listing import list_versions, read_manifest, read_version
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.repair import repair
from evenkeel.tasks.versions.takedown import takedown
from evenkeel.tasks.versions.trash import restore
from evenkeel.tasks.versions.verify import verify
from tests.faults.publishing import Job
from tests.publish import small_steps

SEEDS = st.integers(0, 4)
WORKSPACES = st.sampled_from(["a", "b"])
NAMES = st.sampled_from(["prod", "best"])
CHOICE = st.integers(0, 10_000)
MAX_TAKEDOWNS = 2
RETENTION = Retention(keep_last=1000, grace_hours=0)


def ids_of(version: Version) -> frozenset[str]:
    """Return the ids of the rows that a version's data files hold."""
    found: set[str] = set()
    for entry in read_manifest(version).data:
        with storage.open_read(storage.join(version.location, entry.path)) as stream:
            found |= set(pq.read_table(stream, columns=["ek_id"])["ek_id"].to_pylist())
    return frozenset(found)


class Walk(RuleBasedStateMachine):
    """The walk over a destination on the local disk; `uri` and `environment` say otherwise in a subclass."""

    kills = 1
    environment: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="walk-"))
        self.config = DestinationConfig(uri=self.uri(), rows_per_file=30, retention=RETENTION)
        self.rows: dict[int, frozenset[str]] = {}
        self.trash: dict[int, frozenset[str]] = {}
        self.tags: dict[str, int] = {}
        self.current: int | None = None
        self.held = False
        self.highest = 0
        self.taken: set[str] = set()
        self.killed = 0

    def uri(self) -> str:
        """Where this walk publishes."""
        return str(self.folder / "published")

    def workspace(self, name: str) -> str:
        """The folder of one of the two workspaces."""
        return str(self.folder / f"workspace-{name}")

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
        self.did("published", result.version, when=result.status != "unchanged")

    def publish(self, seed: int, workspace: str, force: bool) -> PublishResult:
        """Stage and publish a small pool; what a prune took from under it is staged once more."""
        small = small_steps.make(self.folder / f"steps-{seed}", rows=60, shards=1, rows_per_block=30, seed=seed)
        run = Run(workspace=self.workspace(workspace), dataset="demo", scratch=self.folder / "scratch")
        for _ in range(2):
            ref = STAGE(self.config.staging(), StageInputs.of(small.refs), run)
            try:
                return publish(self.config, "demo", ref, draw, {}, run.workspace, force=force)
            except StorageError as error:
                missing = error
        raise missing

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

    @precondition(lambda self: bool(self.rows))
    @rule(choice=CHOICE, workspace=WORKSPACES, back=st.booleans())
    def hold(self, choice: int, workspace: str, back: bool) -> None:
        """Roll back to a version, or hold it."""
        number = self.pick(choice, self.rows)
        move = tags.rollback if back else tags.hold
        move(self.config, "demo", number, self.workspace(workspace), "because")
        self.current, self.held = number, True
        self.did("rolled back" if back else "held", number)

    @precondition(lambda self: self.held)
    @rule(workspace=WORKSPACES)
    def release(self, workspace: str) -> None:
        """Release what is held: it stays current until a run publishes."""
        assert tags.release(self.config, "demo", self.workspace(workspace)).version == self.current
        self.held = False

    @precondition(lambda self: bool(self.rows))
    @rule(choice=CHOICE, name=NAMES, workspace=WORKSPACES)
    def tag(self, choice: int, name: str, workspace: str) -> None:
        """Let a name mean a version."""
        number = self.pick(choice, self.rows)
        tags.tag(self.config, "demo", number, name, self.workspace(workspace))
        self.tags[name] = number
        self.did("promoted", number)

    @precondition(lambda self: bool(self.tags))
    @rule(workspace=WORKSPACES)
    def untag(self, workspace: str) -> None:
        """Remove a name."""
        name, number = self.tags.popitem()
        assert tags.untag(self.config, "demo", name, self.workspace(workspace)).version == number

    @precondition(lambda self: self.free())
    @rule(choice=CHOICE, workspace=WORKSPACES)
    def drop(self, choice: int, workspace: str) -> None:
        """Prune a version that nothing holds, and the files of killed publishers."""
        number = self.pick(choice, self.free())
        found = prune(self.config, "demo", self.workspace(workspace), drop=[number], dry_run=False)
        assert found.versions == [number]
        self.trash[number] = self.rows.pop(number)

    @precondition(lambda self: bool(self.trash) and not self.taken)
    @rule(choice=CHOICE, workspace=WORKSPACES)
    def restore(self, choice: int, workspace: str) -> None:
        """Bring a pruned version back under its number."""
        number = self.pick(choice, self.trash)
        assert restore(self.config, "demo", number, self.workspace(workspace)).version == number
        self.rows[number] = self.trash.pop(number)

    @precondition(lambda self: len(self.taken) < MAX_TAKEDOWNS)
    @rule(choice=CHOICE, workspace=WORKSPACES)
    def take_down(self, choice: int, workspace: str) -> None:
        """Take a row of the current version down: no coming version may hold it, published ones are named."""
        assert self.current is not None
        one = sorted(self.rows[self.current])[choice % len(self.rows[self.current])]
        found = takedown(self.config, "demo", [one], self.workspace(workspace), reason="asked", dry_run=False)
        assert set(found.held) == {number for number, ids in self.rows.items() if one in ids}
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

    @invariant()
    def versions_are_those_of_the_model(self) -> None:
        """Everything that can be read says the same as the model."""
        if not self.highest:
            return
        known = list_versions(self.config, "demo", self.workspace("a"))
        assert [version.version for version in known] == sorted(self.rows, reverse=True)
        for version in known:
            assert ids_of(version) == self.rows[version.version]
            manifest = read_manifest(version)
            assert (manifest.version, manifest.counts["kept"]) == (version.version, len(self.rows[version.version]))
            assert version.rows == len(self.rows[version.version])
            card = storage.read_bytes(storage.join(version.location, "card.html")).decode()
            assert card in (f"card of v{version.version} in {version.location}", "<card>")
            assert version.current == (version.version == self.current)
            assert (version.held is not None) == (self.held and version.current)
            assert {name for name in version.tags if name != "latest"} == {
                name for name, number in self.tags.items() if number == version.version
            }
        index = storage.read_json(storage.join(self.config.uri, "demo", "versions.json"))
        assert {one["version"] for one in index} == set(self.rows)
        assert evenkeel.open(storage.join(self.config.uri, "demo")).version == self.current

    def teardown(self) -> None:
        """At the end every file of every version is what was written."""
        for number in self.rows:
            assert verify(self.config, "demo", number, self.workspace("b")).sound
        shutil.rmtree(self.folder)

    def free(self) -> list[int]:
        """The versions that a prune may remove."""
        return [number for number in self.rows if number != self.current and number not in self.tags.values()]

    def pick(self, choice: int, among: "dict[int, frozenset[str]] | list[int]") -> int:
        """Choose one of some versions."""
        return sorted(among)[choice % len(among)]

    def read(self, number: int) -> Version:
        """Read a version by its number."""
        return read_version(self.config, "demo", number, self.workspace("a"))

    def did(self, action: str, number: int, when: bool = True) -> None:
        """Assert that the audit trail ends with an action."""
        if when:
            last = tags.history(self.config, "demo", self.workspace("a"))[0]
            assert (last.action, last.version) == (action, number)


def draw(number: int, folder: str) -> dict[str, str | bytes]:
    """Draw the card of a version."""
    return {"card.html": f"card of v{number} in {folder}".encode()}
