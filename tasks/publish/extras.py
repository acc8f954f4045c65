"""The files of a version beside its rows, such as card, Data Docs and profile."""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.layout import BLOCKED, OURS, copy_hashed, dataset_folder
from evenkeel.tasks.publish.manifest import FileEntry

Extras = Mapping[str, str | bytes]
"""Path in the version's folder -> bytes, or the URI of a file or folder to copy."""
DrawExtras = Callable[[int, str], Extras]
"""Draws the extras of a version that name it: called with its number and its folder, again where either changes."""


def copy_extras(extras: Extras, folder: str) -> list[FileEntry]:
    """Copy the extras into a version's folder and return their manifest entries, sorted by path.

    Raises RecipeError where a path leaves the folder or is one of our own.
    """
    entries = []
    for name, source in sorted(extras.items()):
        for target, part in _parts(name, source).items():
            out = copy_hashed(part, storage.join(folder, target))
            entries.append(FileEntry(path=target, bytes=out.bytes, sha256=out.sha256))
    return entries


def keep_blocked(config: DestinationConfig, dataset: str, run: str, extras: Extras) -> str:
    """Copy card and Data Docs of a run whose gates failed to the destination, and return their folder.

    run: a name for the folder. It is part of no version; a prune removes it.
    """
    folder = storage.join(dataset_folder(config.uri, dataset), BLOCKED, run)
    copy_extras(extras, folder)
    return folder


def _parts(name: str, source: str | bytes) -> dict[str, str | bytes]:
    """Return the single files of an extra by path: itself, or every file of the folder that it is."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0] in OURS:
        raise RecipeError(f"{name!r} is not a place for an extra file of a version", remedy=f"not in {', '.join(OURS)}")
    if isinstance(source, bytes):
        return {name: source}
    below = storage.list_files(source)
    base = _plain(source)
    if [_plain(uri) for uri in below] == [base]:
        return {name: source}
    return {f"{path}/{_plain(uri)[len(base) + 1 :]}": uri for uri in below}


def _plain(uri: str) -> str:
    return storage.filesystem(uri)[1].rstrip("/")
