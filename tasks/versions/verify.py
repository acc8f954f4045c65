"""Verify a version: hash every file and compare with the hashes taken when it was written."""

from functools import partial

from pydantic import BaseModel, ConfigDict, computed_field

from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import StorageError
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.layout import MANIFEST
from evenkeel.tasks.publish.manifest import FileEntry
from evenkeel.tasks.publish.opening import published_table
from evenkeel.tasks.publish.table import find
from evenkeel.tasks.versions.listing import read_manifest


class Damage(BaseModel):
    """One file that is not what was published."""

    model_config = ConfigDict(frozen=True)

    path: str
    problem: str


class Verification(BaseModel):
    """What `verify` found. files, bytes: how many were read and hashed."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    version: int
    files: int
    bytes: int
    damages: list[Damage]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sound(self) -> bool:
        """Return whether every file is what was published."""
        return not self.damages


def verify(
    config: DestinationConfig, dataset: str, ref: str | int, workspace: str, compute: Compute | None = None
) -> Verification:
    """Read every file of a version and compare store, manifest and catalog with each other."""
    with published_table(config, dataset, workspace) as table:
        version = find(table, ref)
        listed = {task.file.file_path for task in table.scan(snapshot_id=version.snapshot_id).plan_files()}
    try:
        manifest = read_manifest(version)
    except StorageError as error:
        damage = Damage(path=MANIFEST, problem=error.message)
        return Verification(dataset=dataset, version=version.version, files=0, bytes=0, damages=[damage])
    checked = (compute or Compute()).map(partial(_check, version.location), manifest.files)
    damages = [damage for damage in checked if damage is not None]
    named = {storage.join(version.location, entry.path) for entry in manifest.data}
    damages += [Damage(path=uri, problem="in the catalog, not in the manifest") for uri in sorted(listed - named)]
    damages += [Damage(path=uri, problem="in the manifest, not in the catalog") for uri in sorted(named - listed)]
    known = {MANIFEST, *(entry.path for entry in manifest.files)}
    for path in _present(version.location):
        if path not in known:
            damages.append(Damage(path=path, problem="was not published"))
    return Verification(
        dataset=dataset,
        version=version.version,
        files=len(manifest.files),
        bytes=sum(entry.bytes for entry in manifest.files),
        damages=damages,
    )


def _check(folder: str, entry: FileEntry) -> Damage | None:
    try:
        found = storage.sha256(storage.join(folder, entry.path))
    except FileNotFoundError:
        return Damage(path=entry.path, problem="is missing")
    if found != entry.sha256:
        return Damage(path=entry.path, problem=f"has changed: sha256 {found}, published as {entry.sha256}")
    return None


def _present(folder: str) -> list[str]:
    fs, path = storage.filesystem(folder)
    fs.invalidate_cache()
    return sorted(name[len(path.rstrip("/")) + 1 :] for name in fs.find(path))
