"""Copies of what the catalog says, written beside the data for readers without the catalog."""

from pyiceberg.table import Table

from evenkeel.infra import storage
from evenkeel.tasks.publish.marker import update_marker
from evenkeel.tasks.publish.table import home, is_home, versions


def write_index(table: Table) -> None:
    """Write `versions.json` and Iceberg's version hint into the dataset's folder, and bring its marker up to date."""
    update_marker(table, home(table))
    index = [version.model_dump(mode="json", exclude={"metrics"}) for version in versions(table)]
    storage.write_json(storage.join(home(table), "versions.json"), index)
    if is_home(table):
        hint = table.metadata_location.rpartition("/")[2].removesuffix(".metadata.json")
        storage.write_bytes(storage.join(home(table), "metadata", "version-hint.text"), hint.encode())
