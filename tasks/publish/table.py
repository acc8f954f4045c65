"""The Iceberg table of a dataset: one snapshot per version, tagged `vN`; `main` is the current one."""

import re

from pydantic import BaseModel, ConfigDict
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from evenkeel.infra import storage
from evenkeel.infra.errors import VersionNotFound
from evenkeel.tasks.publish.config import LATEST, VERSION_TAG, trial_of
from evenkeel.tasks.publish.folder import HOME_PROPERTY
from evenkeel.tasks.publish.layout import MANIFEST, VERSIONS
from evenkeel.tasks.publish.trail import Hold, read_hold

FACTS_KEY = "evenkeel"


class VersionFacts(BaseModel):
    """What the catalog keeps beside the snapshot of a version.

    location: the folder with everything about it. tier: L0 to L4, "" where the recipe wants none.
    """

    model_config = ConfigDict(frozen=True)

    created: str
    created_by: str
    rows: int
    copies: int
    files: int
    bytes: int
    location: str
    manifest_sha256: str
    content_key: str
    recipe_hash: str
    parent: int | None
    metrics: dict[str, object]
    reason: str
    tier: str = ""


class Version(VersionFacts):
    """One published version, as the catalog knows it.

    data: the folder of its Parquet files. tags: its other names, `latest` among those of the current one. held: who
    holds it as the current one and why, None where nobody does.
    """

    dataset: str
    version: int
    tags: list[str]
    current: bool
    data: str
    snapshot_id: int
    held: Hold | None = None

    @property
    def is_trial(self) -> bool:
        """Whether it is a trial of a mixture, which never becomes the current version."""
        return bool(trial_of(self.tags))

    @property
    def manifest(self) -> str:
        """URI of the manifest."""
        return storage.join(self.location, MANIFEST)

    @property
    def profile(self) -> str:
        """URI of the folder with the profile's tables."""
        return storage.join(self.location, "profile")


def home(table: Table) -> str:
    """Return the dataset's folder in the destination; Iceberg's own files lie there too unless the catalog objects."""
    folder: str = table.metadata.properties.get(HOME_PROPERTY, table.metadata.location)
    return folder.rstrip("/")


def is_home(table: Table) -> bool:
    """Return whether Iceberg's own files lie in the dataset's folder."""
    return table.metadata.location.rstrip("/") == home(table)


def versions(table: Table) -> list[Version]:
    """Return every version, newest first, from the table's metadata alone: no file of a version is read."""
    current = table.metadata.refs["main"].snapshot_id if "main" in table.metadata.refs else None
    snapshots = {snapshot.snapshot_id: snapshot for snapshot in table.metadata.snapshots}
    tags: dict[int, list[str]] = {} if current is None else {current: [LATEST]}
    held = read_hold(table.metadata)
    numbers: dict[int, int] = {}
    for name, ref in table.metadata.refs.items():
        if re.fullmatch(VERSION_TAG, name):
            numbers[int(name[1:])] = ref.snapshot_id
        elif ref.snapshot_ref_type == "tag" and name != LATEST:
            tags.setdefault(ref.snapshot_id, []).append(name)
    dataset = table.name()[-1]
    folder = home(table)
    known = [
        _version(dataset, folder, number, snapshots[snapshot], sorted(tags.get(snapshot, [])), snapshot == current)
        for number, snapshot in sorted(numbers.items(), reverse=True)
    ]
    if held is None:
        return known
    return [one.model_copy(update={"held": held}) if one.version == held.version else one for one in known]


def _version(dataset: str, folder: str, number: int, snapshot: Snapshot, tags: list[str], current: bool) -> Version:
    facts = facts_of(snapshot)
    assert facts is not None, f"snapshot {snapshot.snapshot_id} is named v{number} and is none of ours"
    location = _folder(folder, facts)
    return Version(
        **facts.model_dump(exclude={"location"}),
        location=location,
        dataset=dataset,
        version=number,
        tags=tags,
        current=current,
        data=storage.join(location, "data"),
        snapshot_id=snapshot.snapshot_id,
    )


def facts_of(snapshot: Snapshot) -> VersionFacts | None:
    """Return what publish wrote beside a snapshot; None where the snapshot is not one of ours."""
    summary = snapshot.summary
    text = summary.additional_properties.get(FACTS_KEY) if summary is not None else None
    return None if text is None else VersionFacts.model_validate_json(text)


def location_of(table: Table, snapshot: Snapshot) -> str | None:
    """Return the folder of what a snapshot holds, None where the snapshot is not one of ours."""
    facts = facts_of(snapshot)
    return None if facts is None else _folder(home(table), facts)


def _folder(dataset: str, facts: VersionFacts) -> str:
    return storage.join(dataset, VERSIONS, facts.location.rstrip("/").rpartition("/")[2])


def find(table: Table, ref: str | int) -> Version:
    """Return the version that `ref` means: 3, "3", "v3", a tag, or "latest", which is the current one.

    Raises VersionNotFound, naming what there is.
    """
    known = versions(table)
    wanted = str(ref).strip()
    for version in known:
        if wanted in (str(version.version), f"v{version.version}", *version.tags):
            return version
    have = ", ".join([f"v{version.version}" for version in known[:20]] + sorted(tag for v in known for tag in v.tags))
    raise VersionNotFound(
        f"dataset {table.name()[-1]!r} has no version {wanted!r}",
        found=have or "none",
        remedy="evenkeel versions lists them",
    )
