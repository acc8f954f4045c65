"""Say what became of one row in the versions of a dataset, and why."""

from evenkeel.flows.answer import Answer
from evenkeel.flows.recipe import load
from evenkeel.infra import storage
from evenkeel.infra.errors import VersionNotFound
from evenkeel.tasks.publish.config import LATEST
from evenkeel.tasks.publish.layout import INDEX, dataset_folder
from evenkeel.tasks.reading.version import open_version, version_numbers
from evenkeel.tasks.versions.why import ABSENT, RowDisposition, row_disposition


def why(place: str, row: str, version: str = LATEST) -> Answer[list[RowDisposition]]:
    """Say what became of a row in a version and all earlier ones, newest first.

    Raises VersionNotFound where nothing is published there.

    Args:
        place: A recipe, or the folder of a dataset, `<destination>/<dataset>`.
        row: The row's id, as the source has it.
        version: The newest version to look at: 3, v3, latest or another tag.
    """
    address = address_of(place)
    newest = open_version(address, version)
    numbers = [number for number in version_numbers(address) if number < newest.version]
    found = [row_disposition(newest, row)]
    for number in sorted(numbers, reverse=True):
        try:
            found.append(row_disposition(open_version(address, number), row))
        except (VersionNotFound, FileNotFoundError):  # pruned while this looks
            continue
    known = any(one.disposition != ABSENT for one in found)
    many = f"{len(found):,} version" + ("" if len(found) == 1 else "s")
    return Answer(found, f"{row!r} in {many} of {newest.dataset}:" if known else f"no row {row!r} in {many}", ok=known)


def address_of(place: str) -> str:
    """Return the folder of a dataset, given that folder or the recipe of the dataset."""
    if storage.exists(storage.join(place, INDEX)):
        return place
    read = load(place)
    return dataset_folder(read.destination.uri, read.dataset)
