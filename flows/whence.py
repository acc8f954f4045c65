"""Say where a row came from, and which versions of a dataset hold it."""

from collections.abc import Iterator

from evenkeel.flows.answer import Answer
from evenkeel.flows.why import address_of
from evenkeel.infra.errors import InputError, VersionNotFound
from evenkeel.tasks.reading.version import PublishedVersion, open_version, version_numbers
from evenkeel.tasks.versions import whence as tracing
from evenkeel.tasks.versions.whence import Sighting, Whence


def whence(place: str, row: str, version: str | None = None) -> Answer[Whence]:
    """Say where a row came from - shard, row, source, recipe, steps - and which versions hold it.

    Raises VersionNotFound where nothing is published there, InputError where no version has read the row.

    Args:
        place: A recipe, or the folder of a dataset, `<destination>/<dataset>`.
        row: The row's id, as the source has it.
        version: The version that is asked about: 3, v3, latest or another tag; None = the newest that holds the row, or
            else has read it.
    """
    address = address_of(place)
    asked = _known(address) if version is None else iter([open_version(address, version)])
    if (pair := _sighting(asked, row)) is None:
        raise InputError(
            f"{'no version' if version is None else version} has read a row {row!r}, or its id was taken down",
            where=address,
            remedy="write the id as the source has it, or <shard name>:<row> where the source has no column of ids",
        )
    seen, asked_of = pair
    others = (one for one in _known(address) if one.version != asked_of.version)
    found = tracing.whence(seen, asked_of, others, row)
    many = f"{len(found.held):,} version" + ("" if len(found.held) == 1 else "s")
    return Answer(found, f"{row!r} of {asked_of.dataset}, held by {many}:")


def _sighting(versions: Iterator[PublishedVersion], row: str) -> tuple[Sighting, PublishedVersion] | None:
    """Return a row in the first version that holds it, or else in the first that has read it."""
    first = None
    for one in versions:
        found = tracing.find_in(one, row)
        if found is not None and found.disposition == tracing.KEPT:
            return found, one
        first = first or (None if found is None else (found, one))
    return first


def _known(address: str) -> Iterator[PublishedVersion]:
    """Yield the versions, newest first; one that is pruned while this looks is passed over."""
    for number in sorted(version_numbers(address), reverse=True):
        try:
            yield open_version(address, number)
        except (VersionNotFound, FileNotFoundError):
            continue
