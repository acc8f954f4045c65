"""Rebuild a lost catalog from a dataset's folder, and adopt a folder that was copied or moved from elsewhere."""

import secrets
from collections.abc import Collection
from contextlib import suppress
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchTableError, RESTError
from pyiceberg.table import Table
from pyiceberg.table.update import RemovePropertiesUpdate, RemoveSnapshotRefUpdate, SetPropertiesUpdate, TableUpdate
from sqlalchemy.exc import IntegrityError

from evenkeel.infra import storage
from evenkeel.infra.catalog import NAME, address, answering, is_missing, open_catalog
from evenkeel.infra.errors import CatalogMismatch, EvenkeelError, RecipeError, StorageError, VersionNotFound
from evenkeel.infra.tables import read_schema
from evenkeel.tasks.publish import commit, trail
from evenkeel.tasks.publish.config import LATEST, DestinationConfig
from evenkeel.tasks.publish.earlier import FORMAT, FORMAT_PROPERTY, MOVED_PROPERTY
from evenkeel.tasks.publish.folder import HOME_PROPERTY, same_place
from evenkeel.tasks.publish.index import write_index
from evenkeel.tasks.publish.layout import dataset_folder
from evenkeel.tasks.publish.marker import (
    HIGHEST_PROPERTY,
    KEEPER_PROPERTY,
    REPLACES_PROPERTY,
    UNFINISHED,
    Marker,
    read_marker,
    write_marker,
)
from evenkeel.tasks.publish.opening import create_table, dataset_table, kept_table
from evenkeel.tasks.publish.table import Version, VersionFacts, home
from evenkeel.tasks.versions.history import History, read_history, require_whole, without
from evenkeel.tasks.versions.listing import read_manifest


class Repair(BaseModel):
    """What a repair found in a dataset's folder, and what it did or would do.

    found: what is wrong, "nothing" where all is in order. action: `register`: the catalog goes on from the metadata in
    the folder; `rebuild`: the table is made anew from data files and manifests; `mark`: only the marker is written.
    tags: name -> version.
    """

    model_config = ConfigDict(frozen=True)

    dataset: str
    folder: str
    catalog: str
    dry_run: bool
    found: str
    action: Literal["none", "mark", "register", "rebuild"]
    versions: list[int]
    current: int | None
    tags: dict[str, int]
    highest: int


def repair(
    config: DestinationConfig,
    dataset: str,
    *,
    left_out: Collection[int] = (),
    table: str | None = None,
    dry_run: bool = True,
) -> Repair:
    """Make the catalog of `config` keep the versions that a dataset's folder holds, with their numbers and names.

    The folder alone is asked: its Iceberg metadata, `versions.json` and manifests. Where its paths lead elsewhere, the
    table is made anew; versions keep number, tags, time, reason and checksum. From then on a catalog that kept the
    folder before is refused. left_out: versions to give up, because their files are lost. table: the uuid of the one to
    go on with, where two catalogs of earlier releases have published into the folder.
    Raises StorageError, naming the files, where some of a version are missing; RecipeError where there are two tables.
    """
    folder = dataset_folder(config.uri, dataset)
    marker = _marker(folder)
    wrong = _wrong(config, dataset, folder)
    history = read_history(folder, dataset, marker, table)
    known = without(history, left_out)
    action: Literal["none", "mark", "register", "rebuild"] = "rebuild" if history.metadata is None else "register"
    if wrong is None and not left_out and (marker is None or table in (None, marker.table)):
        action = "mark" if marker is None else "none"
    if action in ("register", "rebuild"):
        require_whole(folder, known)
        _require_free(config, dataset, folder)
        if not dry_run:
            _take(config, dataset, folder, left_out, table)
    elif action == "mark" and not dry_run:
        with dataset_table(config, dataset, ""):
            pass
    return Repair(
        dataset=dataset,
        folder=folder,
        catalog=address(config.catalog, config.uri),
        dry_run=dry_run,
        found=(wrong.message if wrong is not None else "") or ("the marker is lost" if marker is None else "nothing"),
        action=action,
        versions=sorted(version.version for version in known),
        current=next((version.version for version in known if version.current), None),
        tags={tag: version.version for version in known for tag in version.tags},
        highest=history.highest,
    )


def datasets_in(destination: str) -> list[str]:
    """Return the names of the datasets whose folders lie in a destination."""
    fs, path = storage.filesystem(destination)
    fs.invalidate_cache()
    try:
        names = [str(entry).rstrip("/").rpartition("/")[2] for entry in fs.ls(path, detail=False)]
    except FileNotFoundError:
        return []
    parts = ("evenkeel.json", "versions.json", "metadata")
    return sorted(
        name for name in names if any(storage.exists(storage.join(destination, name, part)) for part in parts)
    )


def _marker(folder: str) -> Marker | None:
    try:
        return read_marker(folder)
    except StorageError:  # a damaged one is written anew
        return None


def _wrong(config: DestinationConfig, dataset: str, folder: str) -> EvenkeelError | None:
    """Return why the catalog does not keep the folder, None where it does."""
    try:
        with kept_table(config, dataset, "", folder):
            return None
    except (CatalogMismatch, VersionNotFound) as error:
        return error
    except StorageError as error:
        if _marker(folder) is None:
            return error
        raise
    except RecipeError as error:  # the dataset of this name lives elsewhere, or a newer product wrote it
        if error.where != "destination.uri":
            raise
        return error


def _require_free(config: DestinationConfig, dataset: str, folder: str) -> None:
    """Raise RecipeError where the catalog keeps another folder's dataset under this name, and that folder is there."""
    if config.catalog is None or is_missing(config.catalog, config.uri):
        return
    with open_catalog(config.catalog, config.uri) as catalog, answering(config.catalog):
        try:
            other = home(catalog.load_table((NAME, dataset)))
        except (NoSuchTableError, OSError):
            return
    if not same_place(other, folder) and storage.exists(other):
        raise RecipeError(
            f"the catalog keeps another dataset {dataset!r}",
            found=other,
            where=config.catalog,
            remedy="name another catalog with --catalog, or remove the other folder where this one takes its place",
        )


def _take(config: DestinationConfig, dataset: str, folder: str, left_out: Collection[int], chosen: str | None) -> None:
    """Let the catalog keep the folder.

    The marker names the new keeper first, so that a catalog that kept the folder until now publishes nothing more
    beside, and the table has that name last, so that a repair that is killed between is begun again.
    """
    called, keeper = address(config.catalog, config.uri), secrets.token_hex(8)
    with open_catalog(config.catalog, config.uri) as catalog, answering(called):
        with suppress(NamespaceAlreadyExistsError, IntegrityError):
            catalog.create_namespace_if_not_exists((NAME,))
        history = read_history(folder, dataset, _marker(folder), chosen)
        known = without(history, left_out)
        marker = Marker(
            dataset=dataset,
            location=folder,
            keeper=keeper,
            table=history.table,
            catalog=called,
            highest=history.highest,
        )
        write_marker(marker)
        with suppress(NoSuchTableError, OSError):
            catalog.drop_table((NAME, dataset))
        table = _register(catalog, dataset, history)
        properties = {KEEPER_PROPERTY: keeper, HIGHEST_PROPERTY: str(history.highest), HOME_PROPERTY: folder}
        if table is None:
            table = create_table(catalog, dataset, folder, UNFINISHED)
            commit.ensure_root(table)
            for version in known[::-1]:
                _bring(table, version)
            properties |= {REPLACES_PROPERTY: ",".join(history.replaces), **history.trail}
        for held in (version.held for version in known if version.held is not None):
            properties[trail.HELD_PROPERTY] = held.model_dump_json()
        _settle(table, known, {**properties, FORMAT_PROPERTY: str(FORMAT)})
        write_marker(marker.model_copy(update={"table": str(table.metadata.table_uuid)}))
        write_index(table)


def _register(catalog: Catalog, dataset: str, history: History) -> Table | None:
    """Let the catalog go on from the folder's metadata; None where it cannot, or the folder has none of its own."""
    if history.metadata is None:
        return None
    try:
        return catalog.register_table((NAME, dataset), history.metadata)
    except (RESTError, NotImplementedError):  # a catalog that keeps metadata in a warehouse of its own
        return None


def _bring(table: Table, version: Version) -> None:
    """Commit the data files of a version anew, under its number and tags; nothing is current yet."""
    manifest = read_manifest(version)
    files = [storage.join(version.location, entry.path) for entry in manifest.data]
    facts = version.model_dump(include=set(VersionFacts.model_fields)) | {"metrics": manifest.metrics}
    schema, branch = read_schema(files[0]), f"audit-repair-{version.version}"
    commit.register(table, branch, schema, commit.read_footers(table, schema, files), VersionFacts(**facts))
    commit.name_version(table, branch, version.version, version.tags)


def _settle(table: Table, known: list[Version], properties: dict[str, str]) -> None:
    """In one commit: say who keeps the table, which version is current, and forget the versions that are given up."""
    numbers = {f"v{version.version}" for version in known}
    current = next(version.version for version in known if version.current)
    updates: list[TableUpdate] = [SetPropertiesUpdate(updates=properties)]
    if MOVED_PROPERTY in table.metadata.properties:
        updates.append(RemovePropertiesUpdate(removals=[MOVED_PROPERTY]))
    updates += trail.record(table.metadata, trail.entry("repaired", current))
    if trail.HELD_PROPERTY not in properties:
        updates += trail.release(table.metadata)
    kept = {table.metadata.refs[name].snapshot_id for name in numbers}
    for name, ref in table.metadata.refs.items():
        if name != "main" and not name.startswith("audit-") and ref.snapshot_id not in kept:
            updates.append(RemoveSnapshotRefUpdate(ref_name=name))
    pointed, requirements = commit.point(table, table.metadata.refs[f"v{current}"].snapshot_id, ["main", LATEST])
    commit.apply(table, (*updates, *pointed), requirements)
