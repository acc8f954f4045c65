"""What a reader is, and all the readers there are."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal

from evenkeel.infra.registry import Registry
from evenkeel.tasks.ingest.listing import ListedShard

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from evenkeel.infra.compute import Backend
    from evenkeel.infra.dtypes import Array
    from evenkeel.tasks.step import Run

COMPRESSED = (".gz", ".zst", ".bz2", ".xz")


class ShardUnreadable(Exception):
    """A shard cannot be read to its end; none of its rows may be used."""


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a shard.

    rows: (n,) int64, their numbers in the shard. table: n rows of the shard's columns (one named "" where it has none).
    vectors: (n, d) where they do not lie in the table. rejects: (row number, detail) of rows that do not parse.
    """

    rows: "npt.NDArray[np.int64]"
    table: "pa.Table"
    vectors: "Array | None" = None
    rejects: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class ShardSchema:
    """The schema of a shard before it is read.

    rows: None where the format does not say how many. lengths: by column of vectors, how often each length occurs in
    the first rows. sample: the schema is that of the first rows alone.
    """

    schema: "pa.Schema"
    rows: int | None = None
    lengths: dict[str, dict[int, int]] = field(default_factory=dict)
    sample: bool = False


@dataclass(frozen=True)
class LocalShard:
    """A shard to be read, as a file on this machine.

    batch: about how many rows a batch may hold. vector: the column with the vectors, where it is known. ids: the file
    with the ids, or all other columns, of a shard of vectors. held: the bytes of the shard where they lie in memory;
    then there is no file, and the reader is one that `reads_memory`.
    """

    path: Path
    batch: int
    vector: str | None = None
    ids: Path | None = None
    backend: "Backend" = "cpu"
    held: memoryview | None = None

    @property
    def content(self) -> "Path | pa.BufferReader":
        """What Arrow reads: the file, or the memory from its beginning."""
        if self.held is None:
            return self.path
        import pyarrow as pa

        return pa.BufferReader(pa.py_buffer(self.held))


@dataclass(frozen=True)
class SourceSample:
    """Some rows of a source, about how many it has, and the bytes read per second."""

    table: "pa.Table"
    rows: int
    speed: float


class Reader:
    """Turns shards of one format into batches of rows.

    name: what `source.format` calls it. suffixes: of the files that `format: auto` reads by it (of our readers alone).
    types: where the type of a column comes from. `declared`: from the file; a shard whose types differ from the others'
    is refused. `inferred`: from the values of each batch. `text`: all values are text, and a column becomes numbers or
    booleans where all its values are written like that. takes_ids: shards hold vectors alone, and `source.ids` names
    files with their other columns. header_lines: of a format of lines, those that are no rows. reads_memory: shards may
    be given as `LocalShard.held`.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    types: ClassVar[Literal["declared", "inferred", "text"]] = "inferred"
    takes_ids: ClassVar[bool] = False
    header_lines: ClassVar[int] = 0
    reads_memory: ClassVar[bool] = False

    def inspect(self, stream: BinaryIO, name: str) -> ShardSchema:
        """Return the schema of the shard called `name` from its footer, header or first rows.

        It is called for every shard before any work begins, and never reads a whole one.
        """
        raise NotImplementedError

    def batches(self, shard: LocalShard) -> Iterator[Batch]:
        """Yield the rows in order. A row that does not parse is among the rejects of its batch.

        Raises ShardUnreadable, ValueError, OSError or KeyError where the shard cannot be read to its end.
        """
        raise NotImplementedError

    def count_rows(self, shard: LocalShard) -> int | None:
        """Return how many rows a shard itself claims to have, None where it does not say.

        A shard that gives another number of rows is unreadable.
        """
        return None


class Harvester(Reader):
    """A reader of a source that is not made of files: it lists the shards itself, and writes them before they are read.

    scheme: what `source.uri` begins with.
    """

    scheme: ClassVar[str]

    def list_shards(self) -> list[ListedShard]:
        """Return the shards; their fingerprints differ whenever what they hold does."""
        raise NotImplementedError

    def write_shards(self, shards: Sequence[ListedShard], run: "Run") -> tuple[list[ListedShard], dict[str, int]]:
        """Write the shards in the format of another reader and return those, and counts for people."""
        raise NotImplementedError

    def sample(self, shard: ListedShard, rows: int) -> SourceSample:
        """Return up to `rows` rows within a few seconds."""
        raise NotImplementedError


READERS: Registry[Reader] = Registry(
    "reader", Reader, tag="name", folder="evenkeel.tasks.ingest.readers", group="evenkeel.readers"
)


def reader_of(form: str) -> Reader:
    """Return the reader of a format."""
    return READERS.get(form)()


def suffixes() -> Mapping[str, str]:
    """Return the format of each suffix that `format: auto` knows."""
    return {suffix: name for name, reader in READERS.ours().items() for suffix in reader.suffixes}


def format_of(uri: str) -> str | None:
    """Return the format of a file by its suffix, None where the suffix is unknown."""
    return suffixes().get(plain_suffix(uri))


def plain_suffix(uri: str) -> str:
    """Return the suffix of a file in small letters, that of its content where it is compressed."""
    name = uri.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return posixpath.splitext(name)[1]


def named(names: Sequence[str]) -> list[str]:
    """Return names of columns, with `unnamed`, `unnamed_2`, ... for those that have none."""
    taken = set(names)
    numbered = (f"unnamed_{at}" if at > 1 else "unnamed" for at in count(1))
    free = (name for name in numbered if name not in taken)
    return [name or next(free) for name in names]


def with_names(table: "pa.Table") -> "pa.Table":
    """Return a table whose columns all have a name."""
    return table.rename_columns(named(table.column_names)) if "" in table.column_names else table


def read_batches(form: str, shard: LocalShard) -> Iterator[Batch]:
    """Yield the batches of a shard. Raises ShardUnreadable where it cannot be read to its end."""
    try:
        yield from reader_of(form).batches(shard)
    except ShardUnreadable:
        raise
    except Exception as error:  # whatever a reader stumbles on is that shard's alone
        raise ShardUnreadable(describe(error)) from error


def describe(error: BaseException) -> str:
    """Return an error as one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
