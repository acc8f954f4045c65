"""Rebuild the catalog of a destination from its folders; it needs no recipe."""

from collections.abc import Collection

from pydantic import ValidationError

from evenkeel.flows.answer import Answer
from evenkeel.flows.places import absolute
from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, VersionNotFound
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.layout import VERSIONS
from evenkeel.tasks.versions import repair as repairing
from evenkeel.tasks.versions.repair import Repair

DOES = {
    "none": "nothing is wrong",
    "mark": "the marker is written anew",
    "register": "the catalog goes on from the metadata in the folder",
    "rebuild": "the table is made anew from data files and manifests",
}


def repair(
    destination: str,
    dataset: str | None = None,
    catalog: str | None = None,
    left_out: Collection[int] = (),
    table: str | None = None,
    dry_run: bool = True,
) -> Answer[list[Repair]]:
    """Make the catalog of a destination keep what its folders hold.

    Args:
        destination: The folder with the datasets, or the folder of one dataset.
        dataset: The dataset to repair; else all in the destination.
        catalog: The catalog, where the recipe names one in destination.catalog.
        left_out: Versions to give up because their files are lost.
        table: The table to go on with, by its uuid, where two catalogs have published into one folder.
        dry_run: Only say what is wrong and what would be done.
    """
    place = absolute(destination).rstrip("/")
    if dataset is None and storage.exists(storage.join(place, VERSIONS)):
        place, _, dataset = place.rpartition("/")
    try:
        config = DestinationConfig(uri=place, catalog=catalog)
    except ValidationError as error:
        raise RecipeError("this is no destination", found=str(error.errors()[0]["msg"]), where=place) from None
    names = [dataset] if dataset is not None else repairing.datasets_in(place)
    if not names:
        raise VersionNotFound("there are no datasets in this folder", where=place, remedy="name the destination")
    found = [repairing.repair(config, name, left_out=left_out, table=table, dry_run=dry_run) for name in names]
    return Answer(found, "\n".join(_sentence(one) for one in found))


def _sentence(one: Repair) -> str:
    many = ", ".join(f"v{number}" for number in one.versions)
    held = f"{one.dataset}: {many}; v{one.current} is current"
    if one.action == "none":
        return f"{held}; {DOES['none']}"
    would = "would be done: " if one.dry_run else ""
    return f"{held}; {one.found}; {would}{DOES[one.action]} ({one.catalog})"
