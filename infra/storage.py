"""Read, write, list and remove files on any store, named by a local path or by any URI that fsspec knows."""

import hashlib
import io
import json
import mimetypes
import os
import posixpath
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from evenkeel.infra.errors import StorageError
from evenkeel.infra.reduction import results_here
from evenkeel.infra.whole import create_whole, draft_name, is_draft, open_whole

CHUNK = 8 << 20
RANGES = 4
"""How many ranges of a file are read at a time."""
NO_KEYS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}
"""What the client of S3 raises where it finds no keys."""
OBJECT_LOCK = "MissingUploadObjectWithObjectLockHeaders"
"""What S3 says where a file goes without a checksum into a bucket that locks files."""
CLIENTS = {"botocore", "aiohttp", "gcsfs", "google", "azure"}  # whose errors about connections are no OSError


def filesystem(uri: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system that holds `uri` and the path of `uri` on it (absolute for local paths).

    Credentials, endpoint and region come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, AWS_PROFILE, ...)
    or from fsspec's own configuration, never from a recipe.
    """
    if "://" not in uri:  # `::` in the name of a local file is no chain of file systems
        return fsspec.filesystem("file"), str(LocalFileSystem._strip_protocol(uri))
    try:
        fs, path = fsspec.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise StorageError(
            f"no store for {uri!r}", found=str(error), remedy="use a path, file://, s3://, ..."
        ) from error
    return fs, path


def is_local(uri: str) -> bool:
    """Tell whether `uri` lies on this machine's disk."""
    return "://" not in uri or uri.startswith(("file://", "local://"))


def join(uri: str, *parts: str) -> str:
    """Join path parts to a URI with forward slashes."""
    return posixpath.join(uri.rstrip("/") if uri != "/" else uri, *parts)


def read_bytes(uri: str) -> bytes:
    """Return the whole content of `uri`."""
    fs, path = filesystem(uri)
    with store_errors("read", uri):
        return bytes(fs.cat_file(path))


def write_bytes(uri: str, data: bytes) -> None:
    """Write `data` to `uri` so that readers see all of it or nothing."""
    fs, path = filesystem(uri)
    if is_local(uri):
        with open_replace(uri) as stream:
            stream.write(data)
        return
    with store_errors("write", uri):
        fs.pipe_file(path, data, **_media_type(fs, path))


def create_bytes(uri: str, data: bytes) -> bool:
    """Write `data` to `uri` unless a file is there already, and return whether it was written.

    Of several that do this at once one succeeds: on a local disk by a hard link, on S3 by a conditional request.
    """
    fs, path = filesystem(uri)
    if is_local(uri):
        with store_errors("write", uri):
            return create_whole(Path(path), data)
    if exists(uri):
        return False
    with store_errors("write", uri):
        try:
            fs.pipe_file(path, data, **({"mode": "create"} if "s3" in fs.protocol else {}), **_media_type(fs, path))
        except FileExistsError:
            return False
        except OSError as error:
            if "PreconditionFailed" not in str(error) and "pre-conditions" not in str(error):
                raise
            return False
    return True


def read_json(uri: str) -> Any:
    """Return the JSON document at `uri`."""
    return json.loads(read_bytes(uri))


def write_json(uri: str, value: object) -> None:
    """Write `value` as indented JSON with sorted keys."""
    write_bytes(uri, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n")


def exists(uri: str) -> bool:
    """Tell whether a file or folder lies at `uri`, asking the store anew."""
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    with store_errors("look at", uri):
        return bool(fs.exists(path))


def size(uri: str) -> int | None:
    """Return the bytes of the file at `uri`, None where there is none, asking the store anew."""
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    with store_errors("look at", uri):
        try:
            return int(fs.info(path)["size"])
        except FileNotFoundError:
            return None


def list_files(uri: str) -> list[str]:
    """Return the full URIs of all files below `uri`, sorted; empty where nothing is there.

    What a killed process left of a file that it was writing is not among them.
    """
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    with store_errors("list", uri):
        found = fs.find(path) if fs.exists(path) else []
    whole = (item for item in found if not is_draft(posixpath.basename(item)))
    return sorted(str(fs.unstrip_protocol(item)) if not is_local(uri) else str(item) for item in whole)


def remove(uri: str) -> None:
    """Remove the file or folder at `uri`; nothing happens where there is none, or where another process was faster."""
    fs, path = filesystem(uri)
    with store_errors("remove", uri), suppress(FileNotFoundError):
        if fs.exists(path):
            fs.rm(path, recursive=True)


def remove_files(uris: list[str]) -> None:
    """Remove these files of one store, many at a time where the store can; they must be there."""
    if uris:
        fs = filesystem(uris[0])[0]
        with store_errors("remove", f"{uris[0]} and others"):
            fs.rm([filesystem(uri)[1] for uri in uris])


def sha256(uri: str) -> str:
    """Return the hex SHA-256 of the content of `uri`, read in bounded pieces."""
    digest = hashlib.sha256()
    with open_read(uri) as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def read_into(uri: str, memory: memoryview) -> str | None:
    """Read the file at `uri` into `memory`, which is as long as it, and return the hex SHA-256 of its content.

    It is read in ranges of 8 MiB, four at a time, and the digest is taken in their order while later ones come in. None
    where the store gives a range of another length than was asked for.
    """
    fs, path = filesystem(uri)
    digest, begins = hashlib.sha256(), range(0, len(memory), CHUNK)

    def read(begin: int) -> bool:
        target = memory[begin : begin + CHUNK]
        with store_errors("read", uri):
            found = fs.cat_file(path, start=begin, end=begin + len(target))
        if len(found) != len(target):
            return False
        target[:] = found
        return True

    with closing(results_here(read, begins, RANGES, ahead=RANGES)) as ranges:
        for begin, sound in zip(begins, ranges, strict=True):
            if not sound:
                return None
            digest.update(memory[begin : begin + CHUNK])
    return digest.hexdigest()


@contextmanager
def open_read(uri: str) -> Iterator[BinaryIO]:
    """Open `uri` for reading bytes."""
    fs, path = filesystem(uri)
    with store_errors("read", uri), fs.open(path, "rb") as stream:
        yield stream


@contextmanager
def open_source(uri: str) -> Iterator[BinaryIO]:
    """Open `uri` for who judges its content: what a store refuses raises StorageError, other errors stay what they are.

    Those of a local disk are left, too: a file there that cannot be read is like one that is damaged.
    """
    fs, path = filesystem(uri)
    if is_local(uri):
        with fs.open(path, "rb") as stream:
            yield stream
        return
    with store_errors("read", uri):
        stream = fs.open(path, "rb")
    with stream, io.BufferedReader(_Asked(stream, uri), CHUNK >> 3) as asked:
        yield asked


class _Asked(io.RawIOBase):
    """A file on a store whose refusals to be read raise StorageError."""

    def __init__(self, stream: BinaryIO, uri: str) -> None:
        self._stream, self._uri = stream, uri

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = 0) -> int:
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        with store_errors("read", self._uri):
            found = self._stream.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


@contextmanager
def open_write(uri: str) -> Iterator[BinaryIO]:
    """Open `uri` for writing bytes; parents are created. Not atomic: steps publish folders by their `done.json`."""
    fs, path = filesystem(uri)
    with store_errors("write", uri):
        fs.makedirs(posixpath.dirname(path), exist_ok=True)
        with fs.open(path, "wb", **_media_type(fs, path)) as stream:
            yield stream


@contextmanager
def open_replace(uri: str) -> Iterator[BinaryIO]:
    """Open `uri` for writing bytes that readers see whole once it is closed, or never where writing fails.

    A local file is written under a temporary name and renamed; an object appears on its store when it is closed.
    """
    fs, path = filesystem(uri)
    with store_errors("write", uri), open_whole(fs, path, _media_type(fs, path)) as stream:
        yield stream


def web_address(uri: str) -> str:
    """Return where a browser looks for `uri`: a file, or the object at the S3 endpoint in use.

    Whether the store shows it to whoever has no key is for the store to say; the address signs nothing.
    """
    fs, path = filesystem(uri)
    if is_local(uri):
        return Path(path).absolute().as_uri()
    if "s3" not in fs.protocol:
        return uri
    with store_errors("reach", uri):
        fs.connect()
    return f"{fs.s3.meta.endpoint_url}/{quote(path)}"


def share(source: str, target: str) -> None:
    """Let `target` hold what `source` holds without reading it: a hard link on a local disk, a copy inside the store.

    Both must lie on one store, and neither may be written in place afterwards; replacing it is fine. Raises
    FileNotFoundError where there is no `source`.
    """
    fs, path = filesystem(source)
    _, goal = filesystem(target)
    with store_errors("copy", source):
        fs.makedirs(posixpath.dirname(goal), exist_ok=True)
        if not is_local(source):
            fs.cp_file(path, goal)
            return
        draft = f"{posixpath.dirname(goal)}/{draft_name(posixpath.basename(goal))}"
        try:
            os.link(path, draft)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            fs.cp_file(path, draft)
        os.replace(draft, goal)
        Path(draft).unlink(missing_ok=True)  # a rename between two names of one file leaves both


def local_copy(uri: str, scratch: Path) -> Path:
    """Return a local path with the content of `uri`: the file itself, or a copy cached under `scratch` by URI."""
    fs, path = filesystem(uri)
    if is_local(uri):
        return Path(path)
    target = _copy_of(uri, scratch)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(draft_name(target.name))
        with store_errors("read", uri):
            fs.get_file(path, str(draft))
        os.replace(draft, target)
    return target


def forget_copy(uri: str, scratch: Path) -> None:
    """Remove the local copy of a file of a remote store, where there is one."""
    if not is_local(uri):
        _copy_of(uri, scratch).unlink(missing_ok=True)


def _copy_of(uri: str, scratch: Path) -> Path:
    return scratch / hashlib.sha256(uri.encode()).hexdigest()[:32] / posixpath.basename(filesystem(uri)[1])


def _media_type(fs: AbstractFileSystem, path: str) -> dict[str, str]:
    """Return the content type of a file for S3, by its name, so that a browser shows a page and does not save it."""
    kind, _ = mimetypes.guess_type(path)
    if kind is None or "s3" not in fs.protocol:
        return {}
    return {"ContentType": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind}


@contextmanager
def store_errors(verb: str, uri: str) -> Iterator[None]:
    """Turn a store's refusals into StorageError; a missing file stays FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise StorageError(
            f"not allowed to {verb} {uri}",
            found=f"{type(error).__name__}: {error}",
            remedy="check the permissions and credentials of the process that runs this",
        ) from error
    except Exception as error:
        if type(error).__name__ in NO_KEYS:
            raise StorageError(
                f"there are no keys for {uri}",
                found=f"{type(error).__name__}: {error}",
                remedy="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, where this runs (for a run on "
                "a server: where its worker was started); AWS_ENDPOINT_URL names a store other than AWS",
            ) from error
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in CLIENTS:
            raise
        raise StorageError(
            f"cannot {verb} {uri}",
            found=f"{type(error).__name__}: {error}",
            remedy="set AWS_REQUEST_CHECKSUM_CALCULATION=when_supported: the bucket locks files, which need one"
            if OBJECT_LOCK in str(error)
            else "check that the store is reachable, has room, and that keys have not expired",
        ) from error
