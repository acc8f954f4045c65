"""Evenkeel turns huge, lopsided pools of raw data into large, diverse, balanced training sets."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evenkeel.tasks.reading.version import PublishedVersion

__all__ = ["open"]


def open(  # noqa: A001
    address: str, version: str | int | None = None, tier: str | None = None
) -> "PublishedVersion":
    """Open a version of the dataset whose folder is `address`: `<destination>/<dataset>`, local or on a store.

    version: 3, "v3", a tag, or "latest", the current one and the default. tier: "L2" for the newest version of at least
    that tier, whichever is current; with a version, a condition on that one. Needs neither catalog nor recipe. Raises
    VersionNotFound, naming what there is.
    """
    from evenkeel.tasks.reading.version import open_version

    return open_version(address, version, tier)
