"""Files of numbered sections of bytes on any store, of which a reader takes a few, each with a checksum.

A file begins with a head of little-endian 64-bit numbers: how many sections, where each ends, the xxh3 of each, and the
xxh3 of the head before it. The sections follow, one behind the other.
"""

from collections.abc import Sequence

import numpy as np
import xxhash

from evenkeel.infra import storage
from evenkeel.infra.errors import DamagedFile

WORD = 8
FIRST_READ = 1 << 14
MOST = 1 << 20  # sections of a file


def write_sections(uri: str, sections: Sequence[bytes | memoryview]) -> None:
    """Write sections so that readers see all of them or nothing."""
    ends = np.cumsum([len(part) for part in sections], dtype="<u8")
    sums = np.array([xxhash.xxh3_64_intdigest(part) for part in sections], "<u8")
    head = np.concatenate([np.array([len(sections)], "<u8"), ends, sums]).tobytes()
    with storage.open_replace(uri) as stream:
        stream.write(head + xxhash.xxh3_64_intdigest(head).to_bytes(WORD, "little"))
        for part in sections:
            stream.write(part)


def read_sections(uri: str, first: int, last: int) -> list[memoryview]:
    """Return sections `first` up to and without `last`, of which only these are read. Raises DamagedFile."""
    return Sections(uri).read(first, last)


class Sections:
    """A file of sections whose head is read and verified once, for a reader that comes back. Raises DamagedFile."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        fs, path = storage.filesystem(uri)
        with storage.store_errors("read", uri):
            begun = fs.cat_file(path, start=0, end=FIRST_READ)
            size = WORD * (2 + 2 * min(int.from_bytes(begun[:WORD], "little"), MOST))
            head = begun[:size] if size <= FIRST_READ else fs.cat_file(path, start=0, end=size)
        if len(head) < size or xxhash.xxh3_64_intdigest(head[:-WORD]).to_bytes(WORD, "little") != head[-WORD:]:
            raise DamagedFile(uri, "the checksum of the head is not that of the head")
        ends, self.sums = np.frombuffer(head[WORD:-WORD], "<u8").reshape(2, -1).astype(np.int64)
        self.begins, self.size = np.append(0, ends), size

    def read(self, first: int, last: int) -> list[memoryview]:
        """Return sections `first` up to and without `last`, of which only these are read. Raises DamagedFile."""
        begins, size = self.begins, self.size
        begin, end = int(begins[first]), int(begins[last])
        fs, path = storage.filesystem(self.uri)
        with storage.store_errors("read", self.uri):
            content = memoryview(fs.cat_file(path, start=size + begin, end=size + end) if end > begin else b"")
        found = [content[begins[at] - begin : begins[at + 1] - begin] for at in range(first, last)]
        for at, part in enumerate(found, start=first):
            if xxhash.xxh3_64_intdigest(part) != int(self.sums[at].astype(np.uint64)):
                raise DamagedFile(self.uri, f"the checksum of section {at} is not that of its {len(part):,} bytes")
        return found
