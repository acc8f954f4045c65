"""The pool: the output of ingest that every later step reads, blocks of checked rows in pool order."""

import hashlib
import tempfile
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array
from evenkeel.infra.dtypes import Array
from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef

SHARD_BITS = 40
QUARANTINE_SCHEMA = pa.schema(
    [
        ("row_id", pa.uint64()),
        ("shard", pa.int32()),
        ("row", pa.int64()),
        ("id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)


class Part(BaseModel):
    """The rows of one shard in a block that holds several; content: as of a block."""

    model_config = ConfigDict(frozen=True)

    shard: int
    rows: int
    content: str = ""


class Block(BaseModel):
    """Consecutive accepted rows of one shard, or all of several small ones; the names of blocks sort in pool order.

    shard: the first. content: in two pools of a dataset, the same for the same rows, texts and vectors under the same
    row ids. packed: the shards, in order, of a block that may hold several.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    shard: int
    rows: int
    content: str = ""
    packed: tuple[Part, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the rows of each shard that it holds, in pool order."""
        return self.packed or (Part(shard=self.shard, rows=self.rows, content=self.content),)

    @property
    def last_shard(self) -> int:
        """Return the number of the last shard that it holds."""
        return self.packed[-1].shard if self.packed else self.shard


class Shard(BaseModel):
    """One shard as it was read; `reason` says why none of its rows is in the pool, "" where it was read.

    fingerprint: what the store said of its content when it was listed: size and ETag, checksum or time of change.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    uri: str
    name: str
    bytes: int
    sha256: str
    rows: int
    quarantined: int
    reason: str = ""
    fingerprint: str = ""


class PoolInfo(BaseModel):
    """Says what the columns of the source mean and how many rows were read and refused (`pool.json`).

    published: whether the rows are those of a published version, which may lack columns of the source.
    """

    model_config = ConfigDict(frozen=True)

    read: int
    rows: int
    quarantined: int
    id: str | None
    text: str | None
    vector: str | None
    dimension: int | None
    dtype: str | None
    groups: list[str]
    scores: list[str]
    payload: dict[str, str]
    reasons: dict[str, int]
    mixed: dict[str, str] = {}
    published: bool = Field(False, exclude=True)


class Pool:
    """Reads a finished pool; cheap to open, small to send to a worker, holds no rows.

    blocks: in pool order. names: theirs, which sort in this order. rows: how many in all. groups, scores, tags: names
    without their `group.`, `score.`, `tags.` prefix. shards: as read. info: what the source's columns mean.
    signals: the folders of finished signals by name, whose columns are read as those of the row table.
    """

    def __init__(self, uri: str, scratch: str | None = None, signals: Mapping[str, StepRef] | None = None) -> None:
        self.uri = uri
        self.scratch = scratch or str(Path(tempfile.gettempdir()) / "evenkeel-scratch")
        self.info = PoolInfo.model_validate(storage.read_json(storage.join(uri, "pool.json")))
        self.blocks = tuple(Block.model_validate(item) for item in storage.read_json(storage.join(uri, "blocks.json")))
        self.shards = tuple(Shard.model_validate(item) for item in storage.read_json(storage.join(uri, "shards.json")))
        self.names = tuple(block.name for block in self.blocks)
        self.rows = sum(block.rows for block in self.blocks)
        self.signals = {signal_column(name, ref): ref.uri for name, ref in (signals or {}).items()}

    @classmethod
    def open(
        cls,
        ref: StepRef | str,
        scratch: Path | str | None = None,
        signals: Mapping[str, StepRef] | None = None,
    ) -> "Pool":
        """Open the pool that an ingest step left, given its reference or the URI of its folder.

        scratch: where vectors of a remote pool are copied to be memory-mapped. signals: finished signals by name, which
        become columns: `score.<name>`, or `tags.<name>` for lists of tags.
        """
        return cls(ref if isinstance(ref, str) else ref.uri, None if scratch is None else str(scratch), signals)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the group columns, those of signals after the source's own."""
        return (*self.info.groups, *(name[6:] for name in self.signals if name.startswith("group.")))

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the score columns, those of signals after the source's own."""
        return (*self.info.scores, *(name[6:] for name in self.signals if name.startswith("score.")))

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the signals that are lists of tags."""
        return tuple(name[5:] for name in self.signals if name.startswith("tags."))

    @property
    def has_text(self) -> bool:
        """Tell whether the source has texts."""
        return self.info.text is not None

    @property
    def has_vectors(self) -> bool:
        """Tell whether the source has vectors."""
        return self.info.vector is not None

    def number(self, block: str) -> int:
        """Return the place of a block among all. Raises KeyError for a name that none has."""
        place = bisect_left(self.names, block)
        if self.names[place : place + 1] != (block,):
            raise KeyError(block)
        return place

    def row_ids(self) -> npt.NDArray[np.uint64]:
        """Return the row ids of the whole pool, (rows,) uint64, ascending: 8 bytes a row in memory."""
        return self.column("row_id")

    def column(self, name: str) -> Array:
        """Return one numeric column of the row table for the whole pool, (rows,), in pool order."""
        parts = [self.table(block, [name])[name].to_numpy() for block in self.blocks]
        if parts:
            return np.concatenate(parts)
        return np.empty(0, dtype=np.uint64 if name in ("row_id", "identity") else np.float32)

    def table(self, block: Block | str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the row table of a block: row_id, shard, row, id, identity, text_hash, tokens, group.*, score.*.

        The columns of signals are there where they are named.
        """
        ours = [name for name in columns or () if name in self.signals]
        if columns is None or not ours:
            return self._read("rows", block, columns)
        name = block if isinstance(block, str) else block.name
        found = {one: read_signal(self.signals[one], name, ["value"])["value"] for one in ours}
        if others := [one for one in columns if one not in self.signals]:
            table = self._read("rows", block, others)
            found |= dict(zip(table.column_names, table.columns, strict=True))
        return pa.table({one: found[one] for one in dict.fromkeys(columns)})

    def payload(self, block: Block | str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the user's own columns (all but the vector) of a block; every block has the same schema."""
        return self._read("payload", block, columns)

    def text(self, block: Block | str) -> pa.ChunkedArray:
        """Return the texts of a block, (rows,) string, none null or blank; InputError where the source has none."""
        if self.info.text is None:
            raise InputError("the pool has no text", where=self.uri, remedy="name the column: source.text")
        column = self.payload(block, [self.info.text])[self.info.text]
        return column if column.type == pa.string() else column.cast(pa.string())

    def vectors(self, block: Block | str) -> Array:
        """Return the vectors of a block, (rows, d) float16 or float32, memory-mapped, finite and non-zero.

        Raises InputError where the source has none.
        """
        if self.info.vector is None:
            raise InputError("the pool has no vectors", where=self.uri, remedy="name the column: source.vector")
        return map_array(self._path("vectors", block, "npy"), self._scratch())

    def quarantine(self) -> pa.Table:
        """Return every refused row, in pool order: row_id, shard, row, id, reason, detail."""
        files = storage.list_files(storage.join(self.uri, "quarantine"))
        parts = [read_table(uri) for uri in files if uri.endswith(".parquet")]
        return pa.concat_tables(parts).sort_by("row_id") if parts else QUARANTINE_SCHEMA.empty_table()

    def _read(self, part: str, block: Block | str, columns: Sequence[str] | None) -> pa.Table:
        return read_table(self._path(part, block, "parquet"), columns)

    def _path(self, part: str, block: Block | str, suffix: str) -> str:
        name = block if isinstance(block, str) else block.name
        return storage.join(self.uri, part, f"{name}.{suffix}")

    def _scratch(self) -> Path:
        return Path(self.scratch) / hashlib.sha256(self.uri.encode()).hexdigest()[:16]


def blocks_of(pool: Pool, row_ids: npt.NDArray[np.uint64]) -> list[Block]:
    """Return the blocks that hold rows of the shards that some row ids, (n,), are of."""
    shards = np.unique(row_ids >> np.uint64(SHARD_BITS)).astype(np.int64)
    first = np.searchsorted(shards, [block.shard for block in pool.blocks])
    after = np.searchsorted(shards, [block.last_shard for block in pool.blocks], side="right")
    return [block for block, some in zip(pool.blocks, after > first, strict=True) if some]


def signal_column(name: str, ref: StepRef) -> str:
    """Return the name under which the column of a finished signal is read."""
    return f"{'group' if ref.facts.get('group') else 'tags' if ref.facts.get('tags') else 'score'}.{name}"


def read_signal(uri: str, block: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return `row_id uint64` and `value` (float64, or list<string> of tags) that a signal step left for a block."""
    return read_table(storage.join(uri, "column", f"{block}.parquet"), columns)
