"""Take over the catalog of releases that kept it in the workspace, as `<workspace>/catalog.db`."""

from contextlib import suppress
from pathlib import Path

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError
from pyiceberg.table import Table
from pyiceberg.table.update import RemovePropertiesUpdate, SetPropertiesUpdate, TableUpdate
from sqlalchemy.exc import IntegrityError

from evenkeel.infra import storage
from evenkeel.infra.catalog import CATALOG_FILE, NAME, embedded, open_catalog
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.folder import HOME_PROPERTY, same_place
from evenkeel.tasks.publish.marker import Marker, keeper_of

FORMAT, FORMAT_PROPERTY = 2, "evenkeel.format"
MOVED_PROPERTY = "evenkeel.moved-to"


def earlier_catalog(config: DestinationConfig, workspace: str) -> str | None:
    """Return the address of a catalog that an earlier release left in the workspace; None where there is none."""
    if config.catalog is not None or not storage.is_local(workspace):
        return None
    file = (Path(storage.filesystem(workspace)[1]) / CATALOG_FILE).absolute()
    if file == embedded(config.uri).absolute() or not file.exists():
        return None
    return f"sqlite:///{file}"


def take_over(
    earlier: str, catalog: Catalog, called: str, dataset: str, folder: str, marker: Marker | None
) -> Table | None:
    """Register the table that the earlier catalog has of a dataset in `catalog`, once, and return it.

    The earlier entry is marked as moved, with a format that earlier releases refuse, so that none of them goes on
    there. Killed in between, it is finished by the next call. Returns None where the earlier catalog has no table of
    this folder, or not the one that the marker names.
    """
    with open_catalog(earlier, folder) as old:
        try:
            table = old.load_table((NAME, dataset))
        except (NoSuchTableError, FileNotFoundError):
            return None
        properties = table.metadata.properties
        home = properties.get(HOME_PROPERTY, table.metadata.location)
        kept = marker is None or (keeper_of(table) == marker.keeper and not marker.highest)
        if not same_place(home, folder) or not kept or properties.get(MOVED_PROPERTY, called) != called:
            return None
        if MOVED_PROPERTY not in properties:
            _set(table, SetPropertiesUpdate(updates={MOVED_PROPERTY: called, FORMAT_PROPERTY: str(FORMAT)}))
        with suppress(IntegrityError):
            catalog.create_namespace_if_not_exists((NAME,))
        with suppress(TableAlreadyExistsError):
            catalog.register_table((NAME, dataset), table.metadata_location)
    moved = catalog.load_table((NAME, dataset))
    if MOVED_PROPERTY in moved.metadata.properties:
        _set(moved, RemovePropertiesUpdate(removals=[MOVED_PROPERTY]))
    return moved


def _set(table: Table, update: TableUpdate) -> None:
    transaction = table.transaction()
    transaction._stage((update,), ())
    transaction.commit_transaction()
