"""The checks between the two commits of a publication: files are there in full length, no excluded row is in them."""

from collections.abc import Sequence

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError, StagedFilesMissing
from evenkeel.tasks.publish.exclusions import excluded_ids, find_ids
from evenkeel.tasks.publish.layout import IN_TRASH, PRUNED
from evenkeel.tasks.publish.manifest import FileEntry


def require_files(folder: str, files: Sequence[FileEntry]) -> None:
    """Raise StagedFilesMissing unless every file is in the folder in full length and no prune has marked the folder.

    What a listing lacks is asked for by name: some stores list new files only after a while.
    """
    fs, path = storage.filesystem(folder)
    fs.invalidate_cache()
    sizes = {name[len(path.rstrip("/")) + 1 :]: info["size"] for name, info in fs.find(path, detail=True).items()}
    if PRUNED in sizes or storage.exists(storage.join(folder, PRUNED)):
        raise missing(storage.join(folder, PRUNED), "the mark of a prune")
    for entry in files:
        place = storage.join(folder, entry.path)
        size = sizes[entry.path] if entry.path in sizes else storage.size(place)
        if size is None:
            raise missing(place, "not there")
        if size != entry.bytes:
            raise missing(place, f"{size:,} of {entry.bytes:,} bytes")


def in_trash(folder: str) -> bool:
    """Tell whether a prune has put a folder into the trash, where it may be a version again."""
    try:
        return storage.read_bytes(storage.join(folder, PRUNED)) == IN_TRASH
    except FileNotFoundError:
        return False


def missing(where: str, found: str) -> StagedFilesMissing:
    """Return the error that names a staged file that is not there in full."""
    return StagedFilesMissing(
        "staged files are missing or were removed by a prune",
        where=where,
        found=found,
        remedy="run again: the rows are staged anew from the workspace; nothing became visible",
    )


def refuse_excluded(destination: str, dataset: str, folder: str, data: Sequence[FileEntry]) -> None:
    """Raise InputError where the data files hold a row that was taken down from the dataset."""
    excluded = excluded_ids(destination, dataset)
    if excluded and (found := find_ids(folder, data, excluded)):
        raise InputError(
            f"{len(found):,} rows that were taken down would be published again",
            found=", ".join(found[:5]),
            where=folder,
            remedy="exclude them from the run: the list is in the dataset's folder `takedowns/`",
        )
