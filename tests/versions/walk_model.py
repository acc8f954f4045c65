"""What a dataset's versions should be after whatever was done to them, and how to see that they are."""

import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import pyarrow.parquet as pq
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant

import evenkeel
from evenkeel.flows import events
from evenkeel.flows.recipe import Recipe
from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.publish import PublishResult, publish
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions import tags
from evenkeel.tasks.versions.listing import list_versions, read_manifest, read_version
from evenkeel.tasks.versions.verify import verify
from tests.publish import small_steps

RETENTION = Retention(keep_last=1000, grace_hours=0)
TRAIL = {  # what each event is in the audit trail
    "published": "published",
    "rolled-back": "rolled back",
    "promoted": "promoted",
    "held": "held",
    "released": "released",
    "withdrawn": "took down",
}


class Model(RuleBasedStateMachine):
    """A destination, what should be there, and the comparison of both after every step."""

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
        self.events: list[tuple[str, dict[str, object]]] = []
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(events, "emit", lambda _, what, payload: self.events.append((what, payload)))

    def uri(self) -> str:
        """Where this walk publishes."""
        return str(self.folder / "published")

    def workspace(self, name: str) -> str:
        """The folder of one of the two workspaces."""
        return str(self.folder / f"workspace-{name}")

    def recipe(self, workspace: str) -> Recipe:
        """The recipe as one of the two workspaces has it."""
        document = {"dataset": "demo", "source": {"uri": str(self.folder / "pool")}, "sampling": {"target": 24}}
        document |= {"destination": self.config.model_dump(), "workspace": self.workspace(workspace)}
        return Recipe.model_validate(document)

    def publish(self, seed: int, workspace: str, force: bool) -> PublishResult:
        """Stage and publish a small pool; what a prune took from under it is staged once more."""
        small = small_steps.make(self.folder / f"steps-{seed}", rows=60, shards=1, rows_per_block=30, seed=seed)
        run = Run(workspace=self.workspace(workspace), dataset="demo", scratch=self.folder / "scratch")
        for _ in range(2):
            ref = STAGE(self.config.staging(), StageInputs.of(small.refs), run)
            try:
                return publish(self.config, "demo", ref, draw, {"reason": f"{seed}"}, run.workspace, force=force)
            except StorageError as error:
                missing = error
        raise missing

    def names(self, *, model: bool = False) -> tuple[dict[str, int], bool]:
        """Return what every name means, and whether a version is held: as readers see it, or as the model has it."""
        if model:
            assert self.current is not None
            return {f"v{one}": one for one in self.rows} | self.tags | {"latest": self.current}, self.held
        known = list_versions(self.config, "demo", self.workspace("a"))
        found = {name: one.version for one in known for name in (f"v{one.version}", *one.tags)}
        return found, any(one.held for one in known)

    def set_current(self, number: int) -> None:
        """A version is current, and held."""
        self.current, self.held = number, True

    def let_go(self, number: int) -> None:
        """A version is in the trash."""
        self.trash[number] = self.rows.pop(number)

    def bring_back(self, number: int) -> None:
        """A version is out of the trash."""
        self.rows[number] = self.trash.pop(number)

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
        self.patch.undo()
        shutil.rmtree(self.folder)

    def free(self) -> list[int]:
        """The versions that a prune may remove."""
        return [number for number in self.rows if number != self.current and number not in self.tags.values()]

    def pick(self, choice: int, among: Collection[int]) -> int:
        """Choose one of some versions."""
        return sorted(among)[choice % len(among)]

    def read(self, number: int) -> Version:
        """Read a version by its number."""
        return read_version(self.config, "demo", number, self.workspace("a"))

    def told(self) -> list[tuple[str, dict[str, object]]]:
        """Return the events since the last look."""
        told, self.events = self.events, []
        return told

    def did(self, what: str, number: int, **more: object) -> None:
        """Assert that one event was emitted, that the audit trail ends with the same, and that it has `more`."""
        ((event, payload),) = self.told()
        last, version = tags.history(self.config, "demo", self.workspace("a"))[0], self.read(number)
        assert (event, last.action) == (what, TRAIL[what])
        same = {name: payload.get(name) for name in ("version", "previous", "who", "reason")}
        assert same == last.model_dump(include=set(same))
        assert payload.get("tag", "") == last.tag
        assert (payload["location"], payload["rows"]) == (version.location, version.rows)
        assert {name: payload[name] for name in more} == more


def ids_of(version: Version) -> frozenset[str]:
    """Return the ids of the rows that a version's data files hold."""
    found: set[str] = set()
    for entry in read_manifest(version).data:
        with storage.open_read(storage.join(version.location, entry.path)) as stream:
            found |= set(pq.read_table(stream, columns=["ek_id"])["ek_id"].to_pylist())
    return frozenset(found)


def draw(number: int, folder: str) -> dict[str, str | bytes]:
    """Draw the card of a version."""
    return {"card.html": f"card of v{number} in {folder}".encode()}
