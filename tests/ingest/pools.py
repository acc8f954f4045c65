"""Making sources and reading them, the way the tests of ingest do it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.infra.compute import Compute
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.step import Run


def run_at(folder: Path, compute: Compute | None = None) -> Run:
    return Run(
        workspace=str(folder / "workspace"), dataset="d", scratch=folder / "scratch", compute=compute or Compute()
    )


def ingest(folder: Path, compute: Compute | None = None, **source: Any) -> Pool:
    """Read a source into a workspace below `folder`."""
    return Pool.open(INGEST(ingest_request(SourceConfig(**source)), NoInputs(), run_at(folder, compute)))


def write(path: Path, columns: dict[str, Any] | pa.Table, **options: Any) -> Path:
    """Write a Parquet shard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **options)
    return path


def whole(pool: Pool) -> dict[str, list[Any]]:
    """Return the row table and the payload of a pool as lists, by column; payload columns win."""
    tables = [*map(pool.table, pool.blocks)], [*map(pool.payload, pool.blocks)]
    rows, payload = (pa.concat_tables(tables[part]) for part in (0, 1))
    return dict(rows.to_pydict() | payload.to_pydict())


def refused(pool: Pool) -> list[tuple[int, int, str]]:
    """Return (shard, row, reason) of every refused row."""
    table = pool.quarantine().to_pydict()
    return list(zip(table["shard"], table["row"], table["reason"], strict=True))
