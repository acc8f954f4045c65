"""Folders and metadata files of a dataset that no version holds: which they are, and how they go."""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from pyiceberg.table import Table

from evenkeel.infra import storage
from evenkeel.infra.listing import Folder, folders, listing, touched
from evenkeel.tasks.publish.folder import metadata_files, read_metadata, same_place
from evenkeel.tasks.publish.layout import IN_TRASH, MANIFEST, PRUNED, VERSIONS
from evenkeel.tasks.publish.marker import MARKER, REPLACES_PROPERTY
from evenkeel.tasks.publish.table import Version, home, is_home, location_of, versions
from evenkeel.tasks.versions import trash

REMOVING = b"being removed by evenkeel prune\n"


class Leftover(NamedTuple):
    """A folder to put into the trash or to remove. version: what it was until this prune, None for other files."""

    folder: Folder
    action: Literal["trash", "remove"]
    version: Version | None


def all_folders(table: Table) -> list[Folder]:
    """Return every folder below `versions/`, sorted."""
    return folders(storage.join(home(table), VERSIONS))


def referenced(table: Table) -> set[str]:
    """Return the folders that a version or an audit branch holds."""
    heads = {ref.snapshot_id for ref in table.metadata.refs.values()}
    held = (location_of(table, snapshot) for snapshot in table.metadata.snapshots if snapshot.snapshot_id in heads)
    return {location for location in held if location is not None}


def claimed(table: Table) -> set[str]:
    """Return the folders that another table holds whose metadata lies here too: two catalogs published here once."""
    folder, own = home(table), str(table.metadata.table_uuid)
    ours = {own, *table.metadata.properties.get(REPLACES_PROPERTY, "").split(",")}
    known = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    names = {uri.rpartition("/")[2] for uri in known}
    found: set[str] = set()
    for uri in metadata_files(folder):
        metadata = None if uri.rpartition("/")[2] in names else read_metadata(uri)
        if metadata is None or str(metadata.table_uuid) in ours or not same_place(metadata.location, folder):
            continue
        places = (location_of(table, snapshot) for snapshot in metadata.snapshots)
        found |= {place for place in places if place is not None}
    return found


def leftovers(table: Table, gone: list[Version], now: datetime, grace: datetime, days: float) -> list[Leftover]:
    """Return the folders that no version, no publisher and no other table holds, with what is to become of them.

    gone: the versions that this prune lets go. Folders that hold, or may have held, a version go into the trash, and
    leave it after `days` by the store's clock; what a dead run left of a version is removed after the grace period.
    """
    removed = {version.location: version for version in gone}
    held = (referenced(table) - removed.keys()) | claimed(table)
    records = {one.run: one for one in trash.trashed(table)}
    expired = {run for run, one in records.items() if one.since is None or one.since <= now - timedelta(days=days)}
    found = []
    for folder in all_folders(table):
        run = folder.uri.rpartition("/")[2]
        if folder.uri in held:
            continue
        if folder.uri in removed:
            found.append(Leftover(folder, "trash" if days else "remove", removed[folder.uri]))
        elif run in records:
            if run in expired:
                found.append(Leftover(folder, "remove", None))
        elif PRUNED in folder.names and storage.read_bytes(storage.join(folder.uri, PRUNED)) != IN_TRASH:
            found.append(Leftover(folder, "remove", None))
        elif folder.touched < grace:
            found.append(Leftover(folder, "trash" if days and MANIFEST in folder.names else "remove", None))
    return found


def dispose(table: Table, one: Leftover) -> bool:
    """Put a folder into the trash, or remove it, unless a publisher has registered it by now; return whether it went.

    A folder with another dataset's marker in it stays.
    """
    uri, run = one.folder.uri, one.folder.uri.rpartition("/")[2]
    if any(path.rpartition("/")[2] == MARKER for path in listing(uri)):
        return False
    if one.action == "trash":
        if one.version is not None:
            trash.put(table, one.version)
        else:
            trash.put_folder(table, run)
    storage.write_bytes(storage.join(uri, PRUNED), IN_TRASH if one.action == "trash" else REMOVING)
    table.refresh()
    if uri in referenced(table):
        storage.remove(storage.join(uri, PRUNED))
        trash.forget(table, run)
        return False
    if one.action == "remove":
        storage.remove(uri)
        trash.forget(table, run)
    return True


def tidy(table: Table) -> None:
    """Remove marks and records of the trash that a killed prune or restore left of versions that are there."""
    there = {version.location for version in versions(table)}
    present = {folder.uri: folder for folder in all_folders(table)}
    for uri in there & present.keys():
        if PRUNED in present[uri].names:
            storage.remove(storage.join(uri, PRUNED))
    for one in trash.trashed(table):
        uri = storage.join(home(table), VERSIONS, one.run)
        if uri in there or uri not in present:
            trash.forget(table, one.run)


def stray_metadata(table: Table, grace: datetime) -> list[str]:
    """Return Iceberg's own files that the table no longer refers to and that no commit under way can be writing.

    None where another table's metadata lies here. A catalog that keeps them in a warehouse of its own also removes them
    itself.
    """
    if not is_home(table) or claimed(table):
        return []
    known = {"version-hint.text", table.metadata_location.rpartition("/")[2]}
    known |= {entry.metadata_file.rpartition("/")[2] for entry in table.metadata.metadata_log}
    for snapshot in table.metadata.snapshots:
        known.add(snapshot.manifest_list.rpartition("/")[2])
        known |= {manifest.manifest_path.rpartition("/")[2] for manifest in snapshot.manifests(table.io)}
    base = storage.join(home(table), "metadata")
    return sorted(
        storage.join(base, path) for path, info in listing(base).items() if path not in known and touched(info) < grace
    )
