"""Read the plain bytes of files that may be compressed, which their suffix says."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, cast

import zstandard

from evenkeel.tasks.ingest.reader import COMPRESSED


@contextmanager
def decompressed(raw: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Yield a stream of the plain content of `raw`; broken compressed data raises OSError when it is read.

    A file of 0 bytes is no compressed file of nothing, but an upload that failed.
    """
    with ExitStack() as stack:
        try:
            if name.lower().endswith(COMPRESSED) and not raw.read(1):
                raise EOFError("the file has 0 bytes")
            raw.seek(0)
            yield stack.enter_context(_open(raw, name.lower()))
        except (zlib.error, zstandard.ZstdError, lzma.LZMAError, EOFError) as error:
            raise OSError(f"compressed data ends early or is damaged ({error})") from error


def _open(raw: BinaryIO, name: str) -> BinaryIO:
    if name.endswith(".gz"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb"))
    if name.endswith(".zst"):
        return cast(BinaryIO, io.BufferedReader(_WholeZstd(raw), 1 << 20))
    if name.endswith(".bz2"):
        return cast(BinaryIO, io.BufferedReader(_WholeStreams(raw, bz2.BZ2Decompressor, 0), 1 << 20))
    if name.endswith(".xz"):
        return cast(BinaryIO, io.BufferedReader(_WholeStreams(raw, _xz_stream, 4), 1 << 20))
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


class _WholeStreams(io.RawIOBase):
    """bzip2 or xz streams one after another; what follows the last and is none raises, where the library ignores it.

    padding: of how many zero bytes, or a multiple of them, may lie behind a stream; 0: none.
    """

    def __init__(
        self, raw: BinaryIO, begin: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor], padding: int
    ) -> None:
        self._raw = raw
        self._padding = padding
        self._begin = begin
        self._stream = begin()
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        while True:
            if self._stream.eof:
                rest = self._behind()
                if not rest:
                    return 0
                self._stream, self._rest = self._begin(), rest
            if not self._rest and self._stream.needs_input:
                self._rest = self._raw.read(1 << 17)
                if not self._rest:
                    raise EOFError("the last stream is cut short")
            plain = self._stream.decompress(self._rest, len(buffer))
            self._rest = b""
            if plain:
                buffer[: len(plain)] = plain
                return len(plain)

    def _behind(self) -> bytes:
        """Return what follows a stream and its padding, empty where nothing does."""
        zeros, part = 0, self._stream.unused_data or self._raw.read(1 << 17)
        while part and not (rest := part.lstrip(b"\0")):
            zeros += len(part)
            part = self._raw.read(1 << 17)
        if not part:
            rest = b""
        zeros += len(part) - len(rest)
        if zeros and (not self._padding or zeros % self._padding):
            raise EOFError(f"{zeros:,} zero bytes follow a stream")
        return rest


def _xz_stream() -> lzma.LZMADecompressor:
    """Return what reads a stream of xz alone: to the older format .lzma, which it could be, zeros are an empty file."""
    return lzma.LZMADecompressor(lzma.FORMAT_XZ)


def _zstd_frame() -> "zstandard.ZstdDecompressionObj":
    """Return what reads a frame, of the longest window there is: `zstd --long=31`."""
    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


class _WholeZstd(io.RawIOBase):
    """Zstandard frames one after another; unlike the library's own reader it raises where the last one is cut short."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._frame = _zstd_frame()
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
                self._frame = _zstd_frame()
            self._begun = True
            plain.append(self._frame.decompress(compressed))
            compressed = self._frame.unused_data if self._frame.eof else b""
        self._ready = b"".join(plain)
