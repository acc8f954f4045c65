"""What a dataset's folder says of its versions, for a catalog that lost them: Iceberg's metadata, or a copy."""

from collections.abc import Collection
from dataclasses import dataclass, field

from pydantic import ValidationError
from pyiceberg.table import Table

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, StorageError, VersionNotFound
from evenkeel.infra.listing import listing
from evenkeel.tasks.publish.folder import as_table, hinted, metadata_files, read_metadata, same_place
from evenkeel.tasks.publish.layout import MANIFEST, PRUNED, VERSIONS
from evenkeel.tasks.publish.marker import REPLACES_PROPERTY, Marker, highest_of, is_unfinished
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


def read_history(folder: str, dataset: str, marker: Marker | None, chosen: str | None = None) -> History:
    """Return the versions in a dataset's folder, of the table that the marker names, or that is `chosen` by its uuid.

    Raises VersionNotFound where the folder has no versions, or no such table; RecipeError where it holds those of
    several tables, which two catalogs of releases without a marker made, and neither says which is meant.
    """
    found = _tables(folder, dataset)
    finished = {uuid: table for uuid, table in found.items() if not is_unfinished(table.metadata)}
    best = finished.get(chosen or (marker.table if marker is not None else None) or "")
    if best is None:
        best = _only(finished, folder, chosen)
    replaces = {uuid for uuid in found if uuid not in finished} | _replaced(best)
    known = versions(best) if best is not None else []
    copy = _copy(folder, dataset)
    highest = max(
        marker.highest if marker is not None else 0,
        *(highest_of(table) for table in finished.values()),
        *(version.version for version in (*known, *copy)),
        0,
    )
    trail = trail_properties(best.metadata) if best is not None else {}
    uuid = str(best.metadata.table_uuid) if best is not None else None
    last = hinted(folder)
    behind = last is not None and read_metadata(last) is None  # versions.json knows of a commit whose metadata is lost
    if chosen is None and copy and (behind or copy[0].version > max((one.version for one in known), default=0)):
        return History(copy, highest, None, sorted(replaces), uuid, trail)
    if best is None or not known:
        raise VersionNotFound(
            f"the folder holds no versions of {dataset!r}", where=folder, remedy="name the destination and the dataset"
        )
    here = same_place(best.metadata.location, folder)
    return History(known, highest, best.metadata_location if here else None, sorted(replaces), uuid, trail)


def _only(tables: dict[str, Table], folder: str, chosen: str | None) -> Table | None:
    """Return the one table of a folder that no other one replaces; None where the folder has none with versions."""
    if chosen is not None:
        raise VersionNotFound(f"the folder has no table {chosen}", found=", ".join(tables) or "none", where=folder)
    old = {uuid for table in tables.values() for uuid in _replaced(table) - {str(table.metadata.table_uuid)}}
    left = {uuid: known for uuid, table in tables.items() if uuid not in old and (known := versions(table))}
    if len(left) > 1:
        lines = [
            f"{uuid}: v{known[-1].version} to v{known[0].version}, {known[0].created}" for uuid, known in left.items()
        ]
        raise RecipeError(
            "two catalogs have published into this folder, each with a line of versions of its own",
            expected="the versions of one table",
            found="; ".join(sorted(lines)),
            where=folder,
            remedy="`evenkeel repair DESTINATION --table UUID` goes on with one; the other's files stay",
        )
    return tables[next(iter(left))] if left else None


def _replaced(table: Table | None) -> set[str]:
    """Return the uuid of a table, and of those that it was made from."""
    if table is None:
        return set()
    return {str(table.metadata.table_uuid), *table.metadata.properties.get(REPLACES_PROPERTY, "").split(",")} - {""}


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
