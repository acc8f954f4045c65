"""Handwritten digits with a long tail: a small pool of real pictures that comes with scikit-learn."""

import gzip
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import write_table
from evenkeel.infra.workspace import StepFolder, claim
from evenkeel.tasks.ingest.fingerprints import fingerprint_of
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.reader import Harvester, SourceSample
from evenkeel.tasks.step import Run

VERSION = 1
SIDE, DARKEST, SCALE = 8, 16, 4
MOST = 174  # pictures of the least frequent digit in the file


class DigitsReader(Harvester):
    """Takes 174 pictures of the digit 0, 174 / 2 of the digit 1, 174 / 3 of the digit 2, and so on: Zipf's law.

    The pictures are those of the UCI set Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998, CC BY
    4.0), 8 x 8 grey values, none twice.
    """

    name: ClassVar[str] = "digits"
    scheme: ClassVar[str] = "digits://"

    def list_shards(self) -> list[ListedShard]:
        """Return one shard, the pictures."""
        size = _file().stat().st_size
        return [
            ListedShard(uri=self.scheme, name=self.name, format=self.name, bytes=size, fingerprint=f"{VERSION}-{size}")
        ]

    def write_shards(self, shards: Sequence[ListedShard], run: Run) -> tuple[list[ListedShard], dict[str, int]]:
        """Write the pictures to Parquet, once in a workspace."""
        folder = StepFolder(run.workspace, run.dataset, self.name, shards[0].fingerprint)
        claim(folder.uri)
        uri = folder.path("digits.parquet")
        finished = folder.done()
        if finished is None:
            table = pictures()
            write_table(uri, table)
            finished = folder.finish({"pictures": len(table)}, {}, 0.0)
        size, changed = fingerprint_of(uri)
        shard = ListedShard(
            uri=uri, name="digits.parquet", format="parquet", bytes=size, fingerprint=changed, number=shards[0].number
        )
        return [shard], finished.counts

    def sample(self, shard: ListedShard, rows: int) -> SourceSample:
        """Return the first pictures."""
        table = pictures()
        return SourceSample(table=table.slice(0, rows), rows=len(table), speed=float(shard.bytes))


def pictures() -> pa.Table:
    """Return the pool: id, digit, picture (PNG of 32 x 32) and vector (64 grey values from 0 to 1, float32)."""
    values = _values()
    grey, digit = values[:, :-1], values[:, -1]
    rng = np.random.default_rng(0)
    chosen = np.sort(
        np.concatenate([rng.permutation(np.flatnonzero(digit == one))[: round(MOST / (one + 1))] for one in range(10)])
    )
    vectors = (grey[chosen] / DARKEST).astype(np.float32)
    return pa.table(
        {
            "id": [f"picture-{row:04d}" for row in chosen],
            "digit": [str(one) for one in digit[chosen]],
            "picture": [_png(one) for one in vectors],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), SIDE * SIDE),
        }
    )


def _png(grey: NDArray[np.float32]) -> bytes:
    from PIL import Image

    ink = 255 - np.round(grey.reshape(SIDE, SIDE) * 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(ink.repeat(SCALE, 0).repeat(SCALE, 1)).save(stream, "png")
    return stream.getvalue()


def _values() -> NDArray[np.int64]:
    """Return (1797, 65) int64: 64 grey values and the digit."""
    with gzip.open(_file(), "rt") as stream:
        return np.loadtxt(stream, delimiter=",").astype(np.int64)


def _file() -> Path:
    """Return the file in scikit-learn's folder, without importing it. Raises InputError where it is not there."""
    found = importlib.util.find_spec("sklearn")
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    file = Path(folders[0]) / "datasets" / "data" / "digits.csv.gz" if folders else Path("digits.csv.gz")
    if not file.is_file():
        raise InputError(
            "the digits of scikit-learn are not there", where=str(file), remedy="install scikit-learn with its data"
        )
    return file
