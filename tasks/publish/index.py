"""Copies of what the catalog says, written beside the data for readers without the catalog."""

from contextlib import suppress

from pyiceberg.table import Table

from evenkeel.infra import storage
from evenkeel.infra.catalog import ANSWERS
from evenkeel.tasks.publish.catalog_page import write_catalog_page
from evenkeel.tasks.publish.layout import INDEX, POINTER, POINTER_TEXT
from evenkeel.tasks.publish.marker import update_marker
from evenkeel.tasks.publish.table import Version, home, is_home, versions

ROUNDS = 3


def write_index(table: Table) -> None:
    """Write `versions.json`, the pointer to the current version and Iceberg's version hint into the dataset's folder,
    and bring its marker up to date.

    The table is looked at again after each round: where another commit came meanwhile, its state is written too, so
    that the last of two writers never leaves the older state behind. A catalog that does not answer by then is left.
    """
    for _ in range(ROUNDS):
        seen = table.metadata_location
        _write(table)
        with suppress(*ANSWERS, OSError):
            table.refresh()
        if table.metadata_location == seen:
            return


def _write(table: Table) -> None:
    update_marker(table, home(table))
    known = versions(table)
    index = [version.model_dump(mode="json", exclude={"metrics"}) for version in known]
    storage.write_json(storage.join(home(table), INDEX), index)
    if is_home(table):
        hint = table.metadata_location.rpartition("/")[2].removesuffix(".metadata.json")
        storage.write_bytes(storage.join(home(table), "metadata", "version-hint.text"), hint.encode())
    for current in (version for version in known if version.current):
        _point(table, current)
    write_catalog_page(home(table), table.name()[-1], known)


def _point(table: Table, current: Version) -> None:
    """Write where the newest data lies: for programs as JSON, for people and scripts as one line of text."""
    fields = {
        "dataset",
        "version",
        "tags",
        "created",
        "rows",
        "tier",
        "location",
        "data",
        "manifest_sha256",
        "snapshot_id",
    }
    pointer = {**current.model_dump(mode="json", include=fields), "iceberg_metadata": table.metadata_location}
    storage.write_json(storage.join(home(table), POINTER), pointer)
    storage.write_bytes(storage.join(home(table), POINTER_TEXT), f"{current.data}\n".encode())
