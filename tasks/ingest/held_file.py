"""A file whose bytes lie in memory that somebody else allocated."""

import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class HeldFile(io.BytesIO):
    """Bytes in memory as the `io.BytesIO` that cuDF takes, to read alone; it copies none of them.

    cuDF copies to the device from the memory that `getbuffer` returns. For the indices of pandas it reads the footer
    again, as from any file, so each thread needs an object of its own.
    """

    def __init__(self, content: memoryview) -> None:
        super().__init__()
        self._content, self._place = content, 0

    def getbuffer(self) -> memoryview:
        """Return the memory itself."""
        return self._content

    def getvalue(self) -> bytes:
        """Return a copy."""
        return bytes(self._content)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return a copy of the next bytes, of all that are left without a size."""
        end = len(self._content) if size is None or size < 0 else self._place + size
        found = bytes(self._content[self._place : end])
        self._place += len(found)
        return found

    read1 = read

    def readinto(self, buffer: "ReadableBuffer", /) -> int:
        """Copy the next bytes."""
        target = memoryview(buffer).cast("B")
        found = self._content[self._place : self._place + len(target)]
        target[: len(found)] = found
        self._place += len(found)
        return len(found)

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._place

    def seek(self, place: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to another place."""
        begins = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: len(self._content)}
        self._place = max(0, begins[whence] + place)
        return self._place

    def writable(self) -> bool:
        """Return False."""
        return False
