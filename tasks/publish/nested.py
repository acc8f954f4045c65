"""Refuse a dataset's folder that lies inside another dataset's folder, or around one."""

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.listing import listing
from evenkeel.tasks.publish.marker import MARKER


def refuse_nested(folder: str) -> None:
    """Raise RecipeError where a folder above or below `folder` is a dataset's: a prune of one would meet the other."""
    for parent in _parents(folder):
        if storage.exists(storage.join(parent, MARKER)):
            raise _nested("lies inside another dataset", folder, parent)
    for path in listing(folder):
        below, _, name = path.rpartition("/")
        if name == MARKER and below:
            raise _nested("has another dataset inside it", folder, storage.join(folder, below))


def _parents(folder: str) -> list[str]:
    scheme, separator, path = folder.rpartition("://")
    parts = path.strip("/").split("/")
    root = f"{scheme}{separator}" if separator else "/"
    return [root + "/".join(parts[:length]) for length in range(len(parts) - 1, 0, -1)]


def _nested(what: str, folder: str, other: str) -> RecipeError:
    return RecipeError(
        f"the destination {what}", expected="a folder of its own", found=other, where=folder, remedy="choose another"
    )
