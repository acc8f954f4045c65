"""The docstrings of the Python environment that this runs in: a pool that every machine has."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from evenkeel.tasks.ingest.docstrings import environment_files, environment_fingerprint, harvest_shards
from evenkeel.tasks.ingest.harvest import SCHEMA, docstrings
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.reader import Harvester, SourceSample
from evenkeel.tasks.step import Run

SAMPLE_FILES = 2000
SAMPLE_SECONDS = 2.0


class DocstringsReader(Harvester):
    """Parses the installed Python files and writes their docstrings to Parquet."""

    name: ClassVar[str] = "docstrings"
    scheme: ClassVar[str] = "docstrings://"

    def list_shards(self) -> list[ListedShard]:
        """Return one shard, the environment."""
        size, fingerprint = environment_fingerprint()
        return [ListedShard(uri=self.scheme, name=self.name, format=self.name, bytes=size, fingerprint=fingerprint)]

    def write_shards(self, shards: Sequence[ListedShard], run: Run) -> tuple[list[ListedShard], dict[str, int]]:
        """Write the docstrings to Parquet, once per state of the environment."""
        return harvest_shards(shards[0], run)

    def sample(self, shard: ListedShard, rows: int) -> SourceSample:
        """Parse evenly spaced files for up to two seconds, or until there are enough docstrings."""
        files = environment_files()
        files = files[:: max(1, -(-len(files) // SAMPLE_FILES))]
        np.random.default_rng(0).shuffle(files)
        begun, parsed = time.monotonic(), 0
        found: list[tuple[str, str, str, str, str]] = []
        for file in files:
            if len(found) >= rows or time.monotonic() - begun > SAMPLE_SECONDS:
                break
            parsed += file.bytes
            try:
                content = (Path(file.root) / file.path).read_bytes()
                package = file.path.split("/", 1)[0].removesuffix(".py")
                new = docstrings(content, file.module)
            except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
                continue
            found += [(name, text, package, kind, file.path) for name, text, kind in new]
        spent = time.monotonic() - begun
        columns = zip(*found[:rows], strict=True) if found else [()] * len(SCHEMA)
        texts = [[part.encode("utf-8", "replace").decode() for part in column] for column in columns]
        return SourceSample(
            table=pa.table(texts, schema=SCHEMA),
            rows=round(len(found) / max(1, parsed) * shard.bytes),
            speed=parsed / max(spent, 1e-3),
        )
