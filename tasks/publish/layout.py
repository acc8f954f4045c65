"""Where the files of a dataset lie: `<destination>/<dataset>/versions/<run>/...` beside Iceberg's `metadata/`.

Card and Data Docs of runs whose gates failed lie in `<destination>/<dataset>/blocked/<run>/`.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, StorageError
from evenkeel.infra.writable import require_writable
from evenkeel.tasks.publish.config import check_dataset_name

VERSIONS = "versions"
MANIFEST = "manifest.json"
INDEX = "versions.json"
POINTER = "latest/version.json"
POINTER_TEXT = "latest/data.txt"
PRUNED = "PRUNED"
IN_TRASH = b"in the trash of evenkeel prune\n"
CLUSTERS = "clusters.parquet"
BLOCKED = "blocked"
MADE = "made"
BESIDE = ("fates", "centroids", "selection", MADE)
OURS = ("data", *BESIDE, MANIFEST, PRUNED)


def dataset_folder(destination: str, dataset: str) -> str:
    """Return the folder of a dataset: absolute where it is local. Raises RecipeError where the name is not one."""
    try:
        check_dataset_name(dataset)
    except ValueError as error:
        raise RecipeError(str(error), where="dataset") from None
    if storage.is_local(destination):
        destination = str(Path(storage.filesystem(destination)[1]))
    return storage.join(destination, dataset)


def check_destination(destination: str, dataset: str) -> None:
    """Find a missing bucket or a read-only place before the work, not after; leaves no file and makes no folder.

    Raises StorageError with the reason.
    """
    try:
        require_writable(dataset_folder(destination, dataset))
    except FileNotFoundError as error:
        raise StorageError(
            f"the destination {destination} does not exist",
            found=str(error),
            remedy="create the bucket, or correct destination.uri",
        ) from error


class HashedFile:
    """A file being written that knows how many bytes went in and their SHA-256."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._digest, self.bytes, self.closed = stream, hashlib.sha256(), 0, False

    def write(self, data: bytes) -> int:
        """Write `data`."""
        self._digest.update(data)
        self.bytes += len(data)
        self._stream.write(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: the stream is flushed when it closes."""

    def close(self) -> None:
        """Take no more bytes; the caller closes the stream that it opened."""
        self.closed = True

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of what was written."""
        return self._digest.hexdigest()


@contextmanager
def open_hashed(uri: str) -> Iterator[HashedFile]:
    """Open `uri` for writing and hash what goes in."""
    with storage.open_write(uri) as stream:
        yield HashedFile(stream)


def copy_hashed(source: str | bytes, target: str) -> HashedFile:
    """Copy a file, or bytes, to `target` in bounded pieces and hash it on the way."""
    with open_hashed(target) as out:
        if isinstance(source, bytes):
            out.write(source)
        else:
            with storage.open_read(source) as stream:
                while piece := stream.read(storage.CHUNK):
                    out.write(piece)
    return out
