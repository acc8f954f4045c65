"""What embedders of images share: where the images lie, which cannot be read and how many of those a run accepts."""

import posixpath
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Union

import numpy as np
import pyarrow as pa
from pydantic import AliasChoices, Field

from evenkeel.infra import storage
from evenkeel.infra.compute import Backend
from evenkeel.infra.errors import InputError, QuarantineLimitError
from evenkeel.infra.tables import read_table, write_table
from evenkeel.tasks.embed.decode import MAX_BYTES, Unreadable, decode_image
from evenkeel.tasks.embed.embedder import Dtype, Embedder, Matrix, Place
from evenkeel.tasks.embed.fit_sample import Positions
from evenkeel.tasks.ingest.pool import Block, Pool

if TYPE_CHECKING:
    from PIL.Image import Image as RgbImage

UNREADABLE = "unreadable"


class ImageEmbedder(Embedder):
    """An embedder of a column of images: a subclass says how long vectors are and how to make them (`encode`).

    A row whose image cannot be read gets a zero vector, and the reason is written beside the vectors.
    """

    block_files: ClassVar[tuple[tuple[str, str], ...]] = ((UNREADABLE, "parquet"),)

    column: str = Field("image", min_length=1, description="column with the images: bytes, paths, or {bytes, path}")
    root: str | None = Field(
        None, description="folder or URI that all paths of the column lie below; nothing else is read. Needed for paths"
    )
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        le=2**31,
        validation_alias=AliasChoices("max_pixels", "most_pixels"),
        description="an image with more pixels is not decoded and counts as unreadable",
    )
    max_unreadable: float = Field(
        0.01, ge=0, le=1, description="share of rows whose image may be unreadable; more fails the run"
    )
    normalise: bool = Field(True, description="scale every row to length 1; zero rows stay zero")
    dtype: Dtype | None = Field("float16", description="how vectors are stored; empty = float32")

    def check(self, pool: Pool) -> None:
        """Raise InputError where there is no column with images."""
        if self.column not in pool.info.payload:
            raise InputError(
                f"there is no column {self.column!r} with images",
                expected=f"one of {', '.join(pool.info.payload)}",
                where="embedding.column",
            )

    def embed(self, pool: Pool, block: Block, positions: Positions | None, place: Place) -> Matrix:
        """Return raw vectors of a block, or of the rows at `positions`: (rows, d) float32, d being the model's.

        A row whose image cannot be read gets a zero vector; the reason is written beside the vectors.
        """
        column = pool.payload(block, [self.column])[self.column]
        if positions is not None:
            column = column.take(pa.array(positions))
        vectors, reasons = self.encode(column, place.backend)
        if positions is None:
            failed = np.array([at for at, reason in enumerate(reasons) if reason], np.int64)
            row_ids = pool.table(block, ["row_id"])["row_id"].take(failed)
            found = pa.table({"row_id": row_ids, "reason": pa.array([reasons[i] for i in failed], pa.string())})
            write_table(storage.join(place.output, UNREADABLE, f"{block.name}.parquet"), found)
        return vectors

    def summary(self, pool: Pool, place: Place) -> Mapping[str, object]:
        """Write the rows without a readable image to `unreadable.parquet` and return how many there are, by reason.

        Raises QuarantineLimitError where they are more than the recipe allows.
        """
        parts = [read_table(storage.join(place.output, UNREADABLE, f"{block.name}.parquet")) for block in pool.blocks]
        found = pa.concat_tables(parts)
        reasons = {str(one["values"]): int(one["counts"]) for one in found["reason"].value_counts().to_pylist()}
        if found.num_rows > self.max_unreadable * pool.rows:
            raise QuarantineLimitError(
                f"{found.num_rows:,} of {pool.rows:,} images cannot be read",
                expected=f"at most {self.max_unreadable:.1%}",
                found=", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items())),
                where=f"column {self.column!r}",
                remedy="look at them (embedding.root, embedding.column), or raise embedding.max_unreadable",
            )
        write_table(storage.join(place.output, f"{UNREADABLE}.parquet"), found)
        return {"unreadable": reasons}

    def encode(self, column: pa.ChunkedArray, backend: Backend) -> tuple[Matrix, list[str]]:
        """Return the vectors of a column of images, (n, d), and why each could not be read, "" where it was."""
        raise NotImplementedError


def sources(column: pa.ChunkedArray) -> Iterator[bytes | str | None]:
    """Yield the bytes or the path of each image; of a struct of both, the bytes where they are there."""
    for value in column.to_pylist():
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        yield value


def read_image(source: bytes | str | None, root: str | None, max_pixels: int) -> Union["RgbImage", Unreadable]:
    """Return the image that a cell of the column holds or names, or why it cannot be read."""
    return decode_image(_content(source, root) if isinstance(source, str) else source, max_pixels)


def _content(path: str, root: str | None) -> bytes | None:
    """Return the file at a path of the column, None where there is none. Only files below `root` are read.

    Raises InputError where no root is named.
    """
    if root is None:
        raise InputError(
            "the image column holds paths, and nothing says where they may lie",
            found=repr(path[:200]),
            where="embedding.root",
            remedy="name the folder or URI that all images lie below: embedding.root",
        )
    place = path if path.startswith(root.rstrip("/") + "/") else storage.join(root, path)
    inside = posixpath.normpath(place.partition("://")[2] or place)
    if not inside.startswith(posixpath.normpath(root.partition("://")[2] or root) + "/"):
        return None
    try:
        with storage.open_read(place) as stream:
            return stream.read(MAX_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
