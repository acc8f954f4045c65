"""Write files that readers see whole or not at all, whenever the writer dies."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile

DRAFT = ".part"


@contextmanager
def open_whole(fs: AbstractFileSystem, path: str, media_type: dict[str, str] | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing bytes that is there, whole, once it is closed, and never where writing fails.

    A local file is written under a temporary name and renamed; an object appears on its store when it is closed.
    media_type: what the store is told of the file. The store's own errors are raised.
    """
    if isinstance(fs, LocalFileSystem):
        with _replacing(Path(path)) as file:
            yield file
        return
    stream = fs.open(path, "wb", **(media_type or {}))
    try:
        yield stream
    except BaseException:
        if isinstance(stream, AbstractBufferedFile):
            stream.discard()
            stream.closed = True  # closing it would write what is there
        raise
    stream.close()


class WholeStream:
    """The stream of `open_whole` for a library that opens, writes and closes it as an object."""

    def __init__(self, fs: AbstractFileSystem, path: str) -> None:
        self._stack = ExitStack()
        self._stream = self._stack.enter_context(open_whole(fs, path))

    def write(self, data: bytes) -> int:
        """Write `data`."""
        return self._stream.write(data)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._stream.tell()

    def close(self) -> None:
        """Let the file be there."""
        self._stack.close()

    def __enter__(self) -> "WholeStream":
        """Return the stream."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the file be there, or never where an error ended the writing."""
        self._stack.__exit__(kind, error, trace)


def create_whole(target: Path, data: bytes) -> bool:
    """Let a local `target` hold `data` unless it exists, whole from the first moment; return whether it did not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(draft_name(target.name))
    draft.write_bytes(data)
    try:
        os.link(draft, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        try:
            with target.open("xb") as file:
                file.write(data)
        except FileExistsError:
            return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def draft_name(name: str) -> str:
    """Return under which name this thread writes a file before it is renamed."""
    return f".{name}.{os.getpid()}.{threading.get_ident()}{DRAFT}"


def is_draft(name: str) -> bool:
    """Tell whether a file's name is that of a draft, which a killed process may have left."""
    return name.startswith(".") and name.endswith(DRAFT)


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(draft_name(target.name))
    try:
        with draft.open("wb") as file:
            yield file
        os.replace(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
