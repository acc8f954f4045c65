"""The marker of a dataset's folder: a small file that names the table and the catalog which keep its versions.

Whatever writes or removes compares it with the table that it opened. So a catalog that lost the table, another catalog,
or an old copy of the right one is refused instead of beginning again at v1 beside the versions that are there.
"""

import importlib.metadata
import json

from pydantic import BaseModel, ConfigDict, ValidationError
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata

from evenkeel.infra import storage
from evenkeel.infra.errors import CatalogMismatch, RecipeError, StorageError

MARKER = "evenkeel.json"
FORMAT = 1
KEEPER_PROPERTY = "evenkeel.keeper"
REPLACES_PROPERTY = "evenkeel.replaces"
HIGHEST_PROPERTY = "evenkeel.highest-version"
UNFINISHED = ""
"""The keeper of a table that a repair is making anew; it says nothing of the folder yet."""
REPAIR = "`evenkeel repair DESTINATION` shows what the folder holds, and rebuilds the catalog from it with --yes"


class Marker(BaseModel):
    """What a dataset's folder says of itself.

    location: the folder. keeper: a random name that the table has too, as a property; a repair draws a new one.
    table: the table's uuid, None until it is made. catalog: what people call the catalog, without secrets.
    highest: the highest version number that this folder has seen; it may lag behind the table, never be ahead of it.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    dataset: str
    location: str
    keeper: str
    table: str | None = None
    catalog: str
    highest: int = 0
    written_by: str = ""

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        document = self.model_dump(mode="json") | {"written_by": f"evenkeel {importlib.metadata.version('evenkeel')}"}
        return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def read_marker(folder: str) -> Marker | None:
    """Return the marker of a dataset's folder, None where there is none.

    Raises RecipeError where a newer Evenkeel wrote it, StorageError where it is no marker.
    """
    uri = storage.join(folder, MARKER)
    try:
        document = json.loads(storage.read_bytes(uri))
        newer = isinstance(document, dict) and int(document["format"]) > FORMAT
        marker = None if newer else Marker.model_validate(document)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise StorageError(
            "the marker of this dataset's folder is damaged",
            found=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            where=uri,
            remedy=f"restore it from a backup, or remove it: {REPAIR}",
        ) from error
    if marker is None:
        raise RecipeError(
            "this dataset's folder was written by a newer Evenkeel",
            expected=f"format {FORMAT}",
            found=f"format {document['format']}, written by {document.get('written_by', 'an unknown release')}",
            where=uri,
            remedy="upgrade Evenkeel on this machine",
        )
    return marker


def create_marker(marker: Marker) -> Marker:
    """Write a marker unless one is there, and return the one that is there now: of two publishers, one wins."""
    storage.create_bytes(storage.join(marker.location, MARKER), marker.encode())
    found = read_marker(marker.location)
    assert found is not None
    return found


def write_marker(marker: Marker) -> None:
    """Replace the marker."""
    storage.write_bytes(storage.join(marker.location, MARKER), marker.encode())


def keeper_of(table: Table) -> str:
    """Return the name that a table shares with its folder's marker; empty for tables of releases without markers."""
    return str(table.metadata.properties.get(KEEPER_PROPERTY, ""))


def is_unfinished(metadata: TableMetadata) -> bool:
    """Tell whether this is of a table that a repair is making anew, or was making when it was killed."""
    return bool(metadata.properties.get(KEEPER_PROPERTY) == UNFINISHED)


def highest_of(table: Table) -> int:
    """Return the highest version number that a table has ever given."""
    return int(table.metadata.properties.get(HIGHEST_PROPERTY, "0"))


def require_kept(marker: Marker, table: Table, catalog: str) -> None:
    """Raise CatalogMismatch unless `table`, opened in `catalog`, is the one that keeps the marker's folder."""
    uuid = str(table.metadata.table_uuid)
    if keeper_of(table) != marker.keeper or marker.table not in (None, uuid):
        raise CatalogMismatch(
            f"the versions of {marker.dataset!r} are kept by another catalog",
            expected=f"{marker.catalog} (table {marker.table or 'not made yet'}, keeper {marker.keeper or 'none'})",
            found=f"{catalog} (table {uuid}, keeper {keeper_of(table) or 'none'})",
            where=marker.location,
            remedy=f"name that catalog in destination.catalog; if it is lost, {REPAIR}",
        )
    if highest_of(table) < marker.highest:
        raise CatalogMismatch(
            f"the catalog is an old copy: it does not know the latest versions of {marker.dataset!r}",
            expected=f"v{marker.highest} or later",
            found=f"v{highest_of(table)} in {catalog}",
            where=marker.location,
            remedy=f"put the right catalog back; if it is lost, {REPAIR}",
        )


def require_still_kept(table: Table, folder: str) -> None:
    """Raise CatalogMismatch where the folder has come under another catalog since the table was opened.

    Raises CommitFailedException where another version was published meanwhile.
    """
    marker = read_marker(folder)
    if marker is not None and require_kept_now(marker, table):
        raise CommitFailedException("another version was published meanwhile")


def update_marker(table: Table, folder: str) -> None:
    """Let the marker name the table and the highest number; where the folder has another keeper, raise instead."""
    marker = read_marker(folder)
    if marker is None:
        return
    require_kept_now(marker, table)
    uuid, highest = str(table.metadata.table_uuid), highest_of(table)
    if (marker.table, marker.highest) != (uuid, highest):
        write_marker(marker.model_copy(update={"table": uuid, "highest": highest}))


def require_kept_now(marker: Marker, table: Table, catalog: str = "the catalog in use") -> bool:
    """Raise CatalogMismatch where a folder has another keeper; return whether the table had to be read again to see.

    Another publisher may have committed since the table was read, and the marker knows its version already.
    """
    seen = table.metadata_location
    try:
        require_kept(marker, table, catalog)
    except CatalogMismatch:
        if table.refresh().metadata_location == seen:
            raise
        require_kept(marker, table, catalog)
        return True
    return False
