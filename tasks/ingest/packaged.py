"""Small labelled pools that come with scikit-learn: read from its files, without importing it."""

import gzip
import importlib.util
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


class PackagedReader(Harvester):
    """A pool of one shard, made of one of scikit-learn's data files.

    version: to be raised when the rows change. file: its name in the package.
    """

    version: ClassVar[int] = 1
    file: ClassVar[str]

    def table(self) -> pa.Table:
        """Return the pool."""
        raise NotImplementedError

    def list_shards(self) -> list[ListedShard]:
        """Return the one shard."""
        size = packaged_file(self.file).stat().st_size
        return [
            ListedShard(
                uri=self.scheme, name=self.name, format=self.name, bytes=size, fingerprint=f"{self.version}-{size}"
            )
        ]

    def write_shards(self, shards: Sequence[ListedShard], run: Run) -> tuple[list[ListedShard], dict[str, int]]:
        """Write the rows to Parquet, once in a workspace."""
        folder = StepFolder(run.workspace, run.dataset, self.name, shards[0].fingerprint)
        claim(folder.uri)
        name = f"{self.name}.parquet"
        uri = folder.path(name)
        finished = folder.done()
        if finished is None:
            table = self.table()
            write_table(uri, table)
            finished = folder.finish({"rows": len(table)}, {}, 0.0)
        size, changed = fingerprint_of(uri)
        shard = ListedShard(
            uri=uri, name=name, format="parquet", bytes=size, fingerprint=changed, number=shards[0].number
        )
        return [shard], finished.counts

    def sample(self, shard: ListedShard, rows: int) -> SourceSample:
        """Return the first rows."""
        table = self.table()
        return SourceSample(table=table.slice(0, rows), rows=len(table), speed=float(shard.bytes))


def packaged_file(name: str) -> Path:
    """Return a data file of scikit-learn. Raises InputError where it is not there."""
    found = importlib.util.find_spec("sklearn")
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    file = Path(folders[0]) / "datasets" / "data" / name if folders else Path(name)
    if not file.is_file():
        raise InputError(
            f"the file {name} of scikit-learn is not there",
            where=str(file),
            remedy="install scikit-learn with its data",
        )
    return file


def packaged_numbers(name: str, header: int = 0) -> NDArray[np.float64]:
    """Return the numbers of one of its CSV files, (rows, columns), below `header` lines."""
    file = packaged_file(name)
    with gzip.open(file, "rt") if name.endswith(".gz") else file.open() as stream:
        numbers: NDArray[np.float64] = np.loadtxt(stream, delimiter=",", skiprows=header)
    return numbers
