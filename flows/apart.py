"""Whether the places of a recipe lie in one another: a run would read its own output, or a prune meet other files."""

import os
from collections.abc import Sequence

LOCAL = ("file://", "local://")


def overlap(dataset: str, sources: Sequence[str], workspace: str, destination: str) -> str | None:
    """Return which place of a recipe lies in which other one, beginning with its field; None where all are apart.

    Local places are compared as absolute paths; what a source passes over, such as a hidden folder, is apart from it.
    """
    folder, steps = f"{_place(destination)}/{dataset}", f"{_place(workspace)}/{dataset}"
    if _inside(folder, steps) or _inside(steps, folder):
        return f"workspace: {steps} and the dataset's folder {folder} lie in one another; choose another workspace"
    for source in sources:
        root = _read_whole(_place(source))
        for field, output in (("workspace", steps), ("destination.uri", folder)):
            if root is not None and _inside(output, root) and not _hidden(output[len(root) :]):
                return f"{field}: {output} lies in the source {source}, which would read it as data; choose another"
    return None


def _place(uri: str) -> str:
    for scheme in LOCAL:
        uri = uri.removeprefix(scheme)
    return uri.rstrip("/") if "://" in uri else os.path.abspath(os.path.expanduser(uri))


def _inside(path: str, root: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{root.rstrip('/')}/")


def _hidden(path: str) -> bool:
    """Tell whether a source would pass a path over, below its root."""
    return any(part.startswith((".", "_")) for part in path.split("/") if part)


def _read_whole(place: str) -> str | None:
    """Return the folder that a source reads with all that is in it; None where it reads files of one depth."""
    if "**" in place:
        return place.partition("**")[0].rpartition("/")[0]
    return None if any(sign in place for sign in "*?[") else place
