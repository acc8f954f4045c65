"""The hierarchy: what clustering leaves for later steps, and how to read it."""

import hashlib
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.dtypes import Float32Array, Int32Array, Int64Array, UInt64Array
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepRef

ROWS_SCHEMA = pa.schema([("row_id", pa.uint64()), ("leaf", pa.int32()), ("distance", pa.float32())])


class LevelInfo(TypedDict):
    """Clusters of a level, how many were wanted, and its inertia."""

    clusters: int
    wanted: int
    inertia: float


class HierarchyInfo(TypedDict):
    """What `levels.json` holds. offsets: whether rows were assigned with an offset for each leaf."""

    blocks: list[str]
    centroid_hash: str
    dimension: int
    levels: list[LevelInfo]
    offsets: NotRequired[bool]


@dataclass(frozen=True)
class Level:
    """One level of clusters.

    centroids: (k, d) float32. parents: (k,) int32, index at the level above, -1 at the top.
    counts: (k,) int64 rows below. radii: (k,) float32, root mean squared distance of the members (rows at level 1,
    centroids above). inertia: the sum of those squares.
    """

    centroids: Float32Array
    parents: Int32Array
    counts: Int64Array
    radii: Float32Array
    inertia: float

    @property
    def clusters(self) -> int:
        """Return the number of clusters."""
        return len(self.counts)


class Hierarchy:
    """Read access to a finished clustering; `levels[0]` is the finest. Holds the levels, never the rows.

    offsets: (k1,) float32, added to the squared distance to each leaf when rows are assigned; None = none is.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.info: HierarchyInfo = storage.read_json(storage.join(uri, "levels.json"))
        self.levels = [
            read_level(storage.join(uri, f"level-{number}"), entry["inertia"])
            for number, entry in enumerate(self.info["levels"], start=1)
        ]
        self.offsets = read_array(_offsets(uri)) if self.info.get("offsets") else None
        self.blocks = self.info["blocks"]
        self.centroid_hash = self.info["centroid_hash"]

    @classmethod
    def open(cls, ref: StepRef | str) -> "Hierarchy":
        """Open the hierarchy that a cluster step left, given its reference or the URI of its folder."""
        return cls(ref if isinstance(ref, str) else ref.uri)

    @property
    def leaves(self) -> int:
        """Return the number of clusters at level 1."""
        return self.levels[0].clusters if self.levels else 0

    @property
    def dimension(self) -> int:
        """Return the length of a centroid."""
        return self.info["dimension"]

    def table(self, block: str, columns: list[str] | None = None) -> pa.Table:
        """Return row_id uint64, leaf int32, distance float32 of the kept rows of a block, in pool order."""
        return read_rows(self.uri, block, columns)

    def rows(self) -> pa.Table:
        """Return that table of all blocks: 16 bytes a kept row in memory."""
        return pa.concat_tables(
            [ROWS_SCHEMA.empty_table(), *(self.table(block) for block in self.blocks)]
        ).combine_chunks()

    def ancestors(self, level: int) -> Int32Array:
        """Return the cluster of every leaf at `level` (1 = the leaf itself), (leaves,) int32."""
        path = np.arange(self.leaves, dtype=np.int32)
        for below in self.levels[: level - 1]:
            path = below.parents[path]
        return path

    def paths(self) -> Int32Array:
        """Return the clusters of every leaf at all levels, (leaves, L) int32; column 0 is the leaf itself."""
        return np.stack([self.ancestors(level) for level in range(1, len(self.levels) + 1)], axis=1)


def read_level(folder: str, inertia: float) -> Level:
    """Return the level that lies in `folder`."""
    parts = [read_array(storage.join(folder, f"{name}.npy")) for name in ("centroids", "parents", "counts", "radii")]
    return Level(parts[0], parts[1], parts[2], parts[3], inertia)


def write_level(folder: str, level: Level) -> None:
    """Write a level as four .npy files."""
    for name in ("centroids", "parents", "counts", "radii"):
        write_array(storage.join(folder, f"{name}.npy"), getattr(level, name))


def write_offsets(uri: str, offsets: Float32Array) -> None:
    """Write the offsets of the leaves, (k1,) float32."""
    write_array(_offsets(uri), offsets)


def _offsets(uri: str) -> str:
    return storage.join(uri, "level-1", "offsets.npy")


def read_rows(folder: str, block: str, columns: list[str] | None = None) -> pa.Table:
    """Return row_id, leaf, distance of the kept rows of a block."""
    return read_table(storage.join(folder, "rows", f"{block}.parquet"), columns)


def write_rows(
    folder: str,
    block: str,
    row_ids: UInt64Array,
    leaves: Int32Array,
    distances: Float32Array,
) -> None:
    """Write the leaf of every kept row of a block."""
    table = pa.table({"row_id": row_ids, "leaf": leaves, "distance": distances}, schema=ROWS_SCHEMA)
    write_table(storage.join(folder, "rows", f"{block}.parquet"), table)


def centroid_hash(levels: list[Level], offsets: Float32Array | None = None) -> str:
    """Return the sha256 over centroids and parents of all levels, finest first, and offsets: a clustering's truth."""
    digest = hashlib.sha256(b"" if offsets is None else np.ascontiguousarray(offsets, "<f4").tobytes())
    for level in levels:
        digest.update(np.ascontiguousarray(level.centroids, "<f4").tobytes())
        digest.update(np.ascontiguousarray(level.parents, "<i4").tobytes())
    return digest.hexdigest()
