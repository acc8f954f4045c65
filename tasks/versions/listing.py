"""Look at versions and move the names that mean them."""

import hashlib
import time
from collections.abc import Callable
from typing import TypeVar

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from pyiceberg.table.update import RemoveSnapshotRefUpdate

from evenkeel.infra import storage
from evenkeel.infra.errors import PublishConflict, RecipeError, StorageError, VersionNotFound
from evenkeel.tasks.publish import commit
from evenkeel.tasks.publish.config import DestinationConfig, check_tag_name
from evenkeel.tasks.publish.manifest import FORMAT, Manifest
from evenkeel.tasks.publish.publish import write_index
from evenkeel.tasks.publish.table import Version, dataset_table, find, versions

Result = TypeVar("Result")


def list_versions(config: DestinationConfig, dataset: str, workspace: str) -> list[Version]:
    """Return all versions of a dataset, newest first; empty where nothing is published yet."""
    try:
        with dataset_table(config, dataset, workspace) as table:
            return versions(table)
    except VersionNotFound:
        return []


def read_version(config: DestinationConfig, dataset: str, ref: str | int, workspace: str) -> Version:
    """Return the version that `ref` means: 3, "v3", a tag or "latest". Raises VersionNotFound, naming what there is."""
    with dataset_table(config, dataset, workspace) as table:
        return find(table, ref)


def previous_version(config: DestinationConfig, dataset: str, workspace: str) -> Version | None:
    """Return the current version, which a run compares itself with, or None before the first."""
    return next((version for version in list_versions(config, dataset, workspace) if version.current), None)


def read_manifest(version: Version) -> Manifest:
    """Return the manifest of a version. Raises StorageError where it is gone, altered or from a newer Evenkeel."""
    try:
        data = storage.read_bytes(version.manifest)
    except FileNotFoundError:
        raise StorageError(
            "the manifest is missing", where=version.manifest, remedy="restore it from a backup"
        ) from None
    if (found := hashlib.sha256(data).hexdigest()) != version.manifest_sha256:
        raise StorageError(
            "the manifest was altered after it was published",
            expected=f"sha256 {version.manifest_sha256}",
            found=f"sha256 {found}",
            where=version.manifest,
            remedy="restore it from a backup, or publish anew",
        )
    manifest = Manifest.model_validate_json(data)
    if manifest.format > FORMAT:
        raise StorageError("the manifest is of a newer Evenkeel", where=version.manifest, remedy="upgrade Evenkeel")
    return manifest


def tag(config: DestinationConfig, dataset: str, ref: str | int, name: str, workspace: str) -> Version:
    """Let the tag `name` mean the version that `ref` means, atomically, and return that version."""
    try:
        check_tag_name(name)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    return _move(config, dataset, ref, workspace, [name])


def rollback(config: DestinationConfig, dataset: str, ref: str | int, workspace: str) -> Version:
    """Make an earlier version the current one, and let the destination's tag mean it too; nothing is removed."""
    return _move(config, dataset, ref, workspace, ["main"] if config.tag is None else [config.tag, "main"])


def untag(config: DestinationConfig, dataset: str, name: str, workspace: str) -> Version:
    """Remove the tag `name`; the version it meant stays and is returned."""
    with dataset_table(config, dataset, workspace) as table:
        version = find(table, name)
        if name not in version.tags:
            raise VersionNotFound(f"dataset {dataset!r} has no tag {name!r}", found=", ".join(version.tags) or "none")
        retried(table, dataset, lambda: commit.apply(table, (RemoveSnapshotRefUpdate(ref_name=name),), ()))
        write_index(table)
        return find(table, version.version)


def _move(config: DestinationConfig, dataset: str, ref: str | int, workspace: str, names: list[str]) -> Version:
    with dataset_table(config, dataset, workspace) as table:

        def once() -> int:
            version = find(table, ref)
            updates, requirements = commit.point(table, version.snapshot_id, names)
            commit.apply(table, updates, (*requirements, commit.stays(table, f"v{version.version}")))
            return version.version

        number = retried(table, dataset, once)
        write_index(table)
        return find(table, number)


def retried(table: Table, dataset: str, once: Callable[[], Result], attempts: int = 20) -> Result:
    """Return `once()`, tried again on fresh metadata where another commit came between. Raises PublishConflict."""
    for attempt in range(attempts):
        try:
            return once()
        except CommitFailedException:
            time.sleep(0.02 * attempt)
            table.refresh()
    raise PublishConflict(f"others kept committing to {dataset!r}", remedy="nothing was changed: run again")
