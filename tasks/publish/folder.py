"""Read what a dataset's folder says of its versions, without any catalog: Iceberg's metadata lies in the folder."""

import re
from pathlib import Path

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.exceptions import ValidationError
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil

from evenkeel.infra import storage
from evenkeel.infra.catalog import NAME, StorageIO
from evenkeel.infra.errors import StorageError
from evenkeel.tasks.publish.config import VERSION_TAG
from evenkeel.tasks.publish.marker import REPAIR, is_unfinished

HOME_PROPERTY = "evenkeel.folder"
METADATA = "metadata"
HINT = "version-hint.text"
FILE = re.compile(r"(\d+)-[^/]*\.metadata\.json")


def same_place(one: str, other: str) -> bool:
    """Tell whether two URIs name one folder; local ones may do so through links."""
    if one.rstrip("/") == other.rstrip("/"):
        return True
    if not (storage.is_local(one) and storage.is_local(other)):
        return False
    first, second = (Path(storage.filesystem(uri)[1]) for uri in (one, other))
    return first.exists() and second.exists() and first.samefile(second)


def hinted(folder: str) -> str | None:
    """Return the metadata file that the version hint names, None where there is no hint."""
    try:
        name = storage.read_bytes(storage.join(folder, METADATA, HINT)).decode().strip()
    except FileNotFoundError:
        return None
    return storage.join(folder, METADATA, f"{name}.metadata.json")


def metadata_files(folder: str) -> list[str]:
    """Return the table metadata files of a dataset's folder, newest first.

    Of files with one number, which publishers at once leave, the one that the version hint names comes first.
    """
    hint = hinted(folder)
    found = []
    for uri in storage.list_files(storage.join(folder, METADATA)):
        name = uri.rpartition("/")[2]
        if match := FILE.fullmatch(name):
            found.append((int(match[1]), hint is not None and hint.endswith(f"/{name}"), name))
    return [storage.join(folder, METADATA, name) for _, _, name in sorted(found, reverse=True)]


def read_metadata(uri: str) -> TableMetadata | None:
    """Return the table metadata in a file, None where it is not whole or not there."""
    try:
        return TableMetadataUtil.parse_raw(storage.read_bytes(uri).decode())
    except (FileNotFoundError, ValueError, ValidationError):
        return None


def as_table(uri: str, metadata: TableMetadata, folder: str, dataset: str) -> Table:
    """Return a table that can be read, but not changed, from its metadata; its versions are looked for in `folder`."""
    properties = {**metadata.properties, HOME_PROPERTY: folder}
    metadata = metadata.model_copy(update={"properties": properties})
    return Table((NAME, dataset), metadata, uri, StorageIO({}), NoopCatalog("folder"))


def folder_table(folder: str, dataset: str) -> Table | None:
    """Return the table as the folder itself has it, None where it has none.

    It is what the last publication wrote down: that of the version hint, or the newest where the hint is lost. Raises
    StorageError where the hint is there and what it names is not: older metadata would know fewer versions.
    """
    hint = hinted(folder)
    if hint is not None and not storage.exists(hint):
        raise StorageError(
            "the folder is not whole: the metadata of its last commit is missing",
            expected=hint.rpartition("/")[2],
            where=folder,
            remedy=f"copy it again from where it came, or {REPAIR}",
        )
    for uri in [hint] if hint else metadata_files(folder):
        metadata = read_metadata(uri)
        if metadata is not None and not is_unfinished(metadata):
            return as_table(uri, metadata, folder, dataset)
    return None


def holds_versions(folder: str) -> bool:
    """Tell whether a dataset's folder holds published versions, by its metadata or by the copy in `versions.json`."""
    try:
        if storage.read_json(storage.join(folder, "versions.json")):
            return True
    except (FileNotFoundError, ValueError):
        pass
    for uri in metadata_files(folder):
        metadata = read_metadata(uri)
        if metadata is not None and any(re.fullmatch(VERSION_TAG, name) for name in metadata.refs):
            return True
    return False
