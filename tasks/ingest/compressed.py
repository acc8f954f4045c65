"""Read the plain bytes of files that may be compressed, which their suffix says."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, cast

import zstandard


@contextmanager
def decompressed(raw: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Yield a stream of the plain content of `raw`; broken compressed data raises OSError when it is read."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(_open(raw, name.lower()))
        except (zlib.error, zstandard.ZstdError, lzma.LZMAError, EOFError) as error:
            raise OSError(f"compressed data ends early or is damaged ({error})") from error


def _open(raw: BinaryIO, name: str) -> BinaryIO:
    if name.endswith(".gz"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb"))
    if name.endswith(".zst"):
        return cast(BinaryIO, io.BufferedReader(_WholeZstd(raw), 1 << 20))
    if name.endswith(".bz2"):
        return cast(BinaryIO, bz2.BZ2File(raw, "rb"))
    if name.endswith(".xz"):
        return cast(BinaryIO, lzma.LZMAFile(raw, "rb"))
    return cast(BinaryIO, _Kept(raw))


class _Kept(io.BufferedIOBase):
    """A stream whose closing leaves the one below open: its owner closes it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._raw.read(-1 if size is None else size)

    def read1(self, size: int = -1, /) -> bytes:
        return self._raw.read(size)


class _WholeZstd(io.RawIOBase):
    """Zstandard frames one after another; unlike the library's own reader it raises where the last one is cut short."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        while not self._ready:
            compressed = self._raw.read(1 << 17)
            if not compressed:
                if self._begun and not self._frame.eof:
                    raise EOFError("the last frame is cut short")
                return 0
            self._feed(compressed)
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _feed(self, compressed: bytes) -> None:
        plain = []
        while compressed:
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._begun = True
            plain.append(self._frame.decompress(compressed))
            compressed = self._frame.unused_data if self._frame.eof else b""
        self._ready = b"".join(plain)
