"""Arrays of ours as .npy files on any store: a checksum follows the array, and every reader verifies it.

The checksum is 16 bytes behind the array, where numpy and other readers of .npy do not look: `evenkeel` and the xxh3 of
all before. A file that ends with its array, as others write them, is read unverified. Nothing is ever unpickled.
"""

import io
import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from tokenize import TokenError
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import xxhash

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Array, DType
from evenkeel.infra.errors import DamagedFile

Bytes = npt.NDArray[np.uint8]

MARK = b"evenkeel"
CHECKSUM = len(MARK) + 8
HEADER = 1 << 14  # numpy reads no longer ones
VERSION_1 = b"\x93NUMPY\x01\x00"
REMEMBERED = 1 << 16
SMALL = 1 << 16  # bytes

_ONE_AT_A_TIME = Lock()
_known: set[tuple[str, int, int, int]] = set()


def write_array(uri: str, array: Array) -> None:
    """Write an array so that readers see all of it or nothing."""
    stream_array(uri, array.shape, array.dtype, [array])


def stream_array(uri: str, shape: tuple[int, ...], dtype: npt.DTypeLike, pieces: Iterable[Array]) -> None:
    """Write an array of this shape that comes in pieces, along its first axis, one of them in memory at a time.

    Readers see all of it or nothing. Raises ValueError where the pieces do not make up the array.
    """
    kind, written, digest = np.dtype(dtype), 0, xxhash.xxh3_64()
    if kind.hasobject:
        raise ValueError("an array of objects is not written: it could only be read by unpickling")
    with storage.open_replace(uri) as stream:
        header = _header(shape, kind)
        digest.update(header)
        stream.write(header)
        for piece in pieces:
            data = np.ascontiguousarray(piece, kind).reshape(-1).view(np.uint8).data
            digest.update(data)
            stream.write(data)
            written += len(data)
        if written != math.prod(shape) * kind.itemsize:
            raise ValueError(f"{uri}: {written:,} bytes are no {kind} of shape {shape}")
        stream.write(MARK + digest.digest())


def read_array(uri: str) -> Array:
    """Return an array in memory."""
    if storage.is_local(uri):
        with storage.store_errors("read", uri):
            content = np.fromfile(storage.filesystem(uri)[1], np.uint8)
    else:
        content = np.frombuffer(bytearray(storage.read_bytes(uri)), np.uint8)
    return _array_in(uri, _verified(uri, content))


def map_array(uri: str, scratch: Path) -> Array:
    """Return an array as a memory map, its checksum verified when this process maps it first; read-only.

    A map keeps a file open. A small file is read instead, so that a pool of many small blocks needs few open files.

    scratch: where a file of a remote store is copied to.
    """
    path = storage.local_copy(uri, scratch)
    with storage.store_errors("read", uri):
        about = path.stat()
        content = np.memmap(path, np.uint8, "r") if about.st_size > SMALL else np.fromfile(path, np.uint8)
    content.flags.writeable = False
    known = (str(path), about.st_size, about.st_mtime_ns, about.st_ino)
    if known in _known:
        return _array_in(uri, content[:-CHECKSUM])
    body = _verified(uri, content)
    if len(body) < len(content):
        if len(_known) >= REMEMBERED:
            _known.clear()
        _known.add(known)
    return _array_in(uri, body)


def plain_npy(uri: str) -> bytes:
    """Return the verified content of a .npy file without our checksum, byte by byte what `numpy.save` writes."""
    body = _verified(uri, np.frombuffer(storage.read_bytes(uri), np.uint8))
    _array_in(uri, body)
    return body.tobytes()


def map_foreign(path: Path) -> Array:
    """Return the array in a .npy file that others wrote, memory-mapped."""
    with _parsing():
        mapped: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def read_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, DType]:
    """Return shape, whether the order is Fortran's, and type of an array; the stream stands behind the header then."""
    with _parsing():
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = read(stream)
    return shape, fortran, kind


@contextmanager
def _parsing() -> Iterator[None]:
    """Let one thread at a time read a header: numpy parses it as Python, which CPython 3.11 may fail at in two threads.

    What numpy says of a header that looks like Python 2's is for nobody.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*additional header parsing", UserWarning)
        yield


def _header(shape: tuple[int, ...], kind: DType) -> bytes:
    stream = io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()


def _verified(uri: str, content: Bytes) -> Bytes:
    """Return a file less its checksum, where it has one. Raises DamagedFile where that is of something else."""
    if content[-CHECKSUM:-8].tobytes() != MARK:
        return content
    body = content[:-CHECKSUM]
    if content[-8:].tobytes() != xxhash.xxh3_64_digest(body.data):
        raise DamagedFile(uri, "the checksum behind the array is not that of the file")
    return body


def _array_in(uri: str, body: Bytes) -> Array:
    """Return the array in the bytes of a .npy file; it shares their memory."""
    head = body[:HEADER]
    if bytes(head[:8]) == VERSION_1:  # what we write: its length is known without reading it
        head = head[: 10 + int.from_bytes(head[8:10], "little")]
    try:
        shape, fortran, kind, first = _parsed(head.tobytes())
    except (ValueError, EOFError, SyntaxError, TypeError, TokenError) as error:
        raise DamagedFile(uri, f"{error}") from error
    if kind.hasobject:
        raise DamagedFile(uri, "an array of objects, which is never unpickled")
    data = body[first:]
    if fortran or len(data) != math.prod(shape) * kind.itemsize:
        raise DamagedFile(uri, f"{len(data):,} bytes for {kind} of shape {shape}")
    return data.view(kind).reshape(shape)


@lru_cache(1024)
def _parsed(head: bytes) -> tuple[tuple[int, ...], bool, DType, int]:
    """Return shape, whether the order is Fortran's, and type of an array by its header, and where the array begins."""
    stream = io.BytesIO(head)
    return *read_header(stream), stream.tell()
