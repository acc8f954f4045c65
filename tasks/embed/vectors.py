"""Read the vectors that the embed step wrote, one block of the pool at a time."""

import posixpath
import tempfile
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Block


class Vectors:
    """Read access to finished vectors; cheap to open, small to send to a worker, holds no rows.

    dimension, dtype: of every vector.
    """

    def __init__(self, uri: str, scratch: str | None = None) -> None:
        self.uri = uri
        self.scratch = scratch or str(Path(tempfile.gettempdir()) / "evenkeel-scratch")
        about = storage.read_json(storage.join(uri, "vectors.json"))
        self.dimension = int(about["dimension"])
        self.dtype: np.dtype[np.floating] = np.dtype(about["dtype"])
        self.folder = storage.join(uri, "vectors")
        if about["folder"] != "vectors":  # another step's, unchanged: a path relative to this one
            scheme, colon, path = uri.rpartition("://")
            self.folder = scheme + colon + posixpath.normpath(posixpath.join(path, about["folder"]))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks, in pool order; read when they are first asked for, so that opening vectors costs no more."""
        return tuple(Block.model_validate(item) for item in storage.read_json(storage.join(self.uri, "blocks.json")))

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return sum(block.rows for block in self.blocks)

    @classmethod
    def open(cls, ref: StepRef | str, scratch: Path | str | None = None) -> "Vectors":
        """Open the vectors that an embed step wrote, given its reference or the URI of its folder.

        scratch: where vectors of a remote workspace are copied to be memory-mapped.
        """
        return cls(ref if isinstance(ref, str) else ref.uri, None if scratch is None else str(scratch))

    def unreadable(self) -> npt.NDArray[np.uint64]:
        """Return the ids of rows whose image could not be read, (n,) uint64, ascending."""
        uri = storage.join(self.uri, "unreadable.parquet")
        if not storage.exists(uri):
            return np.empty(0, np.uint64)
        rows: npt.NDArray[np.uint64] = np.sort(read_table(uri)["row_id"].to_numpy())
        return rows

    def block(self, block: Block | str) -> npt.NDArray[np.floating]:
        """Return the vectors of a block, (rows, dimension) float16 or float32, memory-mapped."""
        name = block if isinstance(block, str) else block.name
        return map_array(storage.join(self.folder, f"{name}.npy"), Path(self.scratch))
