"""Open the table of a dataset: in the catalog that keeps it, to change it, or from its folder, to read it."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
    ValidationError,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from sqlalchemy.exc import IntegrityError

from evenkeel.infra.catalog import NAME, address, answering, first_line, is_missing, open_catalog
from evenkeel.infra.errors import CatalogMismatch, RecipeError, StorageError, VersionNotFound
from evenkeel.tasks.publish.commit import ensure_root
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.earlier import FORMAT, FORMAT_PROPERTY, earlier_catalog, take_over
from evenkeel.tasks.publish.folder import HOME_PROPERTY, folder_table, holds_versions, same_place
from evenkeel.tasks.publish.layout import dataset_folder
from evenkeel.tasks.publish.marker import (
    KEEPER_PROPERTY,
    REPAIR,
    Marker,
    create_marker,
    highest_of,
    keeper_of,
    read_marker,
    require_kept_now,
)
from evenkeel.tasks.publish.nested import refuse_nested
from evenkeel.tasks.publish.table import home

LOG = logging.getLogger(__name__)
PROPERTIES = {
    FORMAT_PROPERTY: str(FORMAT),
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
}


@contextmanager
def dataset_table(config: DestinationConfig, dataset: str, workspace: str, *, create: bool = False) -> Iterator[Table]:
    """Open the table of a dataset to change it; with `create`, an empty one where there is none.

    Raises VersionNotFound where the dataset has none, CatalogMismatch where the folder holds versions that this catalog
    does not keep, RecipeError where the dataset lives elsewhere or is of a newer Evenkeel.
    workspace: where releases before this one kept their catalog; what it knows of the dataset is taken over.
    """
    folder = dataset_folder(config.uri, dataset)
    marker = read_marker(folder)
    if marker is not None and not same_place(marker.location, folder):
        raise copied(marker.location, folder)
    earlier = earlier_catalog(config, workspace)
    begun = marker is not None and marker.highest > 0
    if (begun or not create) and is_missing(config.catalog, config.uri) and earlier is None:
        raise _unknown(dataset, folder, config)
    called = address(config.catalog, config.uri)
    with open_catalog(config.catalog, config.uri) as catalog, answering(config.catalog or called):
        table = _load(catalog, dataset, folder)
        if table is None and earlier is not None:
            table = take_over(earlier, catalog, called, dataset, folder, marker)
        if table is None:
            if not create:
                raise _unknown(dataset, folder, config)
            table = _create(catalog, called, dataset, folder, marker)
        _require_ours(table, dataset, folder, marker is not None)
        marker = read_marker(folder) or create_marker(_marker(table, dataset, folder, called))
        require_kept_now(marker, table, called)
        if create:
            ensure_root(table)
        yield table


def require_keeping(config: DestinationConfig, dataset: str, workspace: str) -> None:
    """Raise what `dataset_table` raises, before any work; a dataset without versions is in order."""
    with suppress(VersionNotFound), dataset_table(config, dataset, workspace):
        pass


@contextmanager
def published_table(config: DestinationConfig, dataset: str, workspace: str) -> Iterator[Table]:
    """Open the table of a dataset to read it: as its catalog has it, or as its folder has it where that fails.

    Nothing is written. Raises what `dataset_table` raises where the folder holds no versions either.
    """
    folder = dataset_folder(config.uri, dataset)
    with ExitStack() as stack:
        try:
            table = stack.enter_context(kept_table(config, dataset, workspace, folder))
        except (CatalogMismatch, StorageError, VersionNotFound) as error:
            stack.close()
            found = folder_table(folder, dataset)
            if found is None:
                raise
            if not isinstance(error, VersionNotFound):
                LOG.warning("%s; reading what the folder says", error.message)
            _require_format(found, dataset)
            table = found
        yield table


@contextmanager
def kept_table(config: DestinationConfig, dataset: str, workspace: str, folder: str) -> Iterator[Table]:
    """Open a table for reading in the catalog that keeps it; raise where that is not to be had."""
    marker = read_marker(folder)
    if marker is not None and not same_place(marker.location, folder):
        raise copied(marker.location, folder)
    called = address(config.catalog, config.uri)
    place = None if is_missing(config.catalog, config.uri) else (config.catalog, config.uri)
    if place is None and marker is None and (earlier := earlier_catalog(config, workspace)) is not None:
        place = (earlier, config.uri)
    if place is None:
        raise _unknown(dataset, folder, config)
    with open_catalog(*place) as catalog, answering(config.catalog or called):
        table = _load(catalog, dataset, folder)
        if table is None:
            raise _unknown(dataset, folder, config)
        _require_ours(table, dataset, folder, marker is not None)
        if marker is not None:
            require_kept_now(marker, table, called)
        yield table


def _require_ours(table: Table, dataset: str, folder: str, marked: bool) -> None:
    _require_format(table, dataset)
    if same_place(home(table), folder):
        return
    if marked or holds_versions(folder):
        raise copied(home(table), folder)
    raise RecipeError(
        f"dataset {dataset!r} of this catalog is published elsewhere",
        expected=home(table),
        found=folder,
        where="destination.uri",
        remedy="use that destination, another dataset name or another catalog",
    )


def _require_format(table: Table, dataset: str) -> None:
    if int(table.metadata.properties.get(FORMAT_PROPERTY, "1")) > FORMAT:
        raise RecipeError(
            f"the versions of {dataset!r} were written by a newer Evenkeel",
            expected=f"format {FORMAT}",
            found=f"format {table.metadata.properties[FORMAT_PROPERTY]}",
            remedy="upgrade Evenkeel on this machine",
        )


def copied(original: str, folder: str) -> CatalogMismatch:
    """Return the error that says that a folder is a copy of another one, or was moved."""
    return CatalogMismatch(
        "this folder was copied or moved from elsewhere, and no catalog keeps its versions here",
        expected=original,
        found=folder,
        remedy=f"it can be read as it is; to publish here, {REPAIR}",
    )


def _unknown(dataset: str, folder: str, config: DestinationConfig) -> CatalogMismatch | VersionNotFound:
    """Return what is wrong where the catalog does not know the dataset: nothing was published yet, or it is lost."""
    called, marker = address(config.catalog, config.uri), read_marker(folder)
    if (marker is None or not marker.highest) and not holds_versions(folder):
        return VersionNotFound(
            f"dataset {dataset!r} has no versions yet", where=folder, remedy="publish one: evenkeel run RECIPE"
        )
    return CatalogMismatch(
        f"the folder holds versions of {dataset!r}, and the catalog knows none",
        expected=f"the catalog that keeps them: {marker.catalog if marker else 'the folder does not say which'}",
        found=called,
        where=folder,
        remedy=f"name the right catalog in destination.catalog; if it is lost, {REPAIR}",
    )


def _load(catalog: Catalog, dataset: str, folder: str) -> Table | None:
    """Return the table that a catalog has of a dataset, None where it has none."""
    try:
        return catalog.load_table((NAME, dataset))
    except NoSuchTableError:
        return None
    except (FileNotFoundError, ValidationError) as error:
        state = "gone" if isinstance(error, FileNotFoundError) else "damaged"
        raise CatalogMismatch(
            f"the catalog names a metadata file of {dataset!r} that is {state}",
            found=first_line(error),
            where=folder,
            remedy=f"put it back from a backup, or {REPAIR}",
        ) from error
    except OSError as error:
        raise StorageError(
            f"cannot read the versions of {dataset!r}",
            found=first_line(error),
            where=folder,
            remedy="check that the store is reachable, and the credentials of the process that runs this",
        ) from error


def _create(catalog: Catalog, called: str, dataset: str, folder: str, marker: Marker | None) -> Table:
    """Make the table of a dataset that has none, after its marker: of two catalogs, the one that marked the folder."""
    if marker is None:
        refuse_nested(folder)
        if not holds_versions(folder):
            fresh = Marker(dataset=dataset, location=folder, keeper=secrets.token_hex(8), catalog=called)
            marker = create_marker(fresh)
    if marker is None or marker.highest or marker.catalog != called or holds_versions(folder):
        raise CatalogMismatch(
            f"the versions of {dataset!r} are kept by another catalog, and this one does not know them",
            expected=marker.catalog if marker else "the folder does not say which",
            found=called,
            where=folder,
            remedy=f"name that catalog in destination.catalog; if it is lost, {REPAIR}",
        )
    return create_table(catalog, dataset, folder, marker.keeper)


def create_table(catalog: Catalog, dataset: str, folder: str, keeper: str) -> Table:
    """Make an empty table, or return the one that another publisher made a moment ago."""
    with suppress(NamespaceAlreadyExistsError, IntegrityError):
        catalog.create_namespace_if_not_exists((NAME,))
    properties = {**PROPERTIES, HOME_PROPERTY: folder, KEEPER_PROPERTY: keeper}
    with suppress(TableAlreadyExistsError, IntegrityError):
        try:
            catalog.create_table((NAME, dataset), schema=Schema(), location=folder, properties=properties)
        except RESTError:  # this catalog keeps Iceberg's own files in a warehouse of its own
            catalog.create_table((NAME, dataset), schema=Schema(), properties=properties)
    table = _load(catalog, dataset, folder)
    assert table is not None
    return table


def _marker(table: Table, dataset: str, folder: str, called: str) -> Marker:
    uuid = str(table.metadata.table_uuid)
    return Marker(
        dataset=dataset,
        location=folder,
        keeper=keeper_of(table),
        table=uuid,
        catalog=called,
        highest=highest_of(table),
    )
