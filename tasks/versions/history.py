"""What a dataset's folder says of its versions, for a catalog that lost them: Iceberg's metadata, or a copy."""

from collections.abc import Collection
from dataclasses import dataclass, field

from pydantic import ValidationError
from pyiceberg.table import Table

from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError, VersionNotFound
from evenkeel.infra.listing import listing
from evenkeel.tasks.publish.folder import as_table, metadata_files, read_metadata, same_place
from evenkeel.tasks.publish.layout import MANIFEST, PRUNED, VERSIONS
from evenkeel.tasks.publish.marker import Marker, highest_of, is_unfinished
from evenkeel.tasks.publish.table import Version, versions
from evenkeel.tasks.publish.trail import trail_properties
from evenkeel.tasks.versions.listing import read_manifest

SHOWN = 10


@dataclass(frozen=True)
class History:
    """Versions as a folder has them, newest first. highest: the highest number that was ever given.

    metadata: the metadata file that a catalog can go on from; None where the folder is a copy, whose paths lead
    elsewhere, or holds no metadata, so that the table must be made anew.
    replaces: the uuids of tables whose metadata is here and is no longer needed then.
    table: the uuid of the table that is gone by; None where the folder holds no metadata of it.
    trail: the properties of the table that hold its audit trail.
    """

    versions: list[Version]
    highest: int
    metadata: str | None
    replaces: list[str]
    table: str | None = None
    trail: dict[str, str] = field(default_factory=dict)


def read_history(folder: str, dataset: str, marker: Marker | None) -> History:
    """Return the versions in a dataset's folder, of the table that the marker names.

    Where no marker says which table it is, the one with the highest version number is taken. Raises VersionNotFound
    where the folder has no versions.
    """
    found = _tables(folder, dataset)
    finished = {uuid: table for uuid, table in found.items() if not is_unfinished(table.metadata)}
    named = finished.get(marker.table or "") if marker is not None else None
    best = named or max(finished.values(), key=lambda table: (highest_of(table), len(versions(table))), default=None)
    known = versions(best) if best is not None else []
    copy = _copy(folder, dataset)
    highest = max(
        marker.highest if marker is not None else 0,
        highest_of(best) if best is not None else 0,
        *(version.version for version in (*known, *copy)),
        0,
    )
    trail = trail_properties(best.metadata) if best is not None else {}
    uuid = str(best.metadata.table_uuid) if best is not None else None
    if copy and copy[0].version > max((version.version for version in known), default=0):
        return History(copy, highest, None, sorted(found), uuid, trail)
    if best is None or not known:
        raise VersionNotFound(
            f"the folder holds no versions of {dataset!r}", where=folder, remedy="name the destination and the dataset"
        )
    here = same_place(best.metadata.location, folder)
    return History(known, highest, best.metadata_location if here else None, sorted(found), uuid, trail)


def without(history: History, left_out: Collection[int]) -> list[Version]:
    """Return the versions but those left out, one of them current. Raises VersionNotFound where one is not there."""
    known = {version.version for version in history.versions}
    if unknown := sorted(set(left_out) - known):
        raise VersionNotFound(f"the folder holds no version v{unknown[0]}", found=f"{sorted(known)}")
    rest = [version for version in history.versions if version.version not in left_out]
    if rest and not any(version.current for version in rest):
        rest[0] = rest[0].model_copy(update={"current": True})
    return rest


def require_whole(folder: str, known: list[Version]) -> None:
    """Raise StorageError, naming what is missing, unless every file of every version is there in full length."""
    there = listing(storage.join(folder, VERSIONS))
    missing = [problem for version in known for problem in _missing(version, there)]
    if missing:
        more = f" and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else ""
        raise StorageError(
            f"{len(missing):,} files of published versions are missing or not whole",
            found=", ".join(missing[:SHOWN]) + more,
            where=folder,
            remedy="copy them from where they came, or from a backup; `evenkeel repair --without N` gives up version N",
        )


def _missing(version: Version, there: dict[str, dict[str, object]]) -> list[str]:
    run = version.location.rpartition("/")[2]
    try:
        files = read_manifest(version).files
    except StorageError as error:
        return [f"v{version.version}: {run}/{MANIFEST} ({error.message})"]
    lost = []
    for entry in files:
        info = there.get(f"{run}/{entry.path}")
        if info is None:
            lost.append(f"v{version.version}: {run}/{entry.path}")
        elif info["size"] != entry.bytes:
            lost.append(f"v{version.version}: {run}/{entry.path} ({info['size']} of {entry.bytes} bytes)")
    if f"{run}/{PRUNED}" in there and lost:
        lost.append(f"v{version.version}: being removed by a prune")
    return lost


def _tables(folder: str, dataset: str) -> dict[str, Table]:
    """Return every table that has metadata in the folder, by its uuid, each as of its newest metadata."""
    found: dict[str, Table] = {}
    for uri in metadata_files(folder):
        metadata = read_metadata(uri)
        if metadata is not None:
            found.setdefault(str(metadata.table_uuid), as_table(uri, metadata, folder, dataset))
    return found


def _copy(folder: str, dataset: str) -> list[Version]:
    """Return the versions in `versions.json`, newest first, at their places in this folder."""
    try:
        entries = storage.read_json(storage.join(folder, "versions.json"))
        found = []
        for entry in entries:
            location = storage.join(folder, VERSIONS, str(entry["location"]).rstrip("/").rpartition("/")[2])
            place = {"location": location, "data": storage.join(location, "data"), "dataset": dataset}
            found.append(Version.model_validate({"metrics": {}, **entry, **place}))
    except (FileNotFoundError, ValueError, KeyError, TypeError, ValidationError):
        return []
    return sorted(found, key=lambda version: version.version, reverse=True)
