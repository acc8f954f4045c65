"""List the versions of a dataset, and read what one of them is."""

from evenkeel.infra.errors import VersionNotFound
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.manifest import Manifest, read_checked
from evenkeel.tasks.publish.opening import published_table
from evenkeel.tasks.publish.table import Version, find, versions


def list_versions(config: DestinationConfig, dataset: str, workspace: str) -> list[Version]:
    """Return all versions of a dataset, newest first; empty where nothing is published yet."""
    try:
        with published_table(config, dataset, workspace) as table:
            return versions(table)
    except VersionNotFound:
        return []


def read_version(config: DestinationConfig, dataset: str, ref: str | int, workspace: str) -> Version:
    """Return the version that `ref` means: 3, "v3", a tag or "latest". Raises VersionNotFound, naming what there is."""
    with published_table(config, dataset, workspace) as table:
        return find(table, ref)


def previous_version(config: DestinationConfig, dataset: str, workspace: str) -> Version | None:
    """Return the current version, which a run compares itself with, or None before the first."""
    return next((version for version in list_versions(config, dataset, workspace) if version.current), None)


def read_manifest(version: Version) -> Manifest:
    """Return the manifest of a version. Raises StorageError where it is gone, altered or from a newer Evenkeel."""
    return read_checked(version.manifest, version.manifest_sha256)
