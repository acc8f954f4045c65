"""Small pools, made by the real ingest step from tables written as shards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.infra.compute import Compute
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.step import Run


def new_run(folder: Path, threads: int = 2, **options: Any) -> Run:
    """A run in this process with its workspace under `folder`."""
    return Run(str(folder / "workspace"), "pool", folder / "scratch", Compute(threads=threads), **options)


def make_pool(run: Run, folder: Path, columns: dict[str, Any], shards: int = 2, **source: Any) -> StepRef:
    """Ingest a table cut into shards, in order; a column of rows of numbers becomes vectors."""
    arrays = {name: _array(values) for name, values in columns.items()}
    table = pa.table(arrays)
    folder.mkdir(parents=True, exist_ok=True)
    for shard, piece in enumerate(np.array_split(np.arange(table.num_rows), shards)):
        pq.write_table(table.take(piece), folder / f"part-{shard:03}.parquet")
    settings = {"uri": f"{folder}/*.parquet", "max_quarantined": 1.0, "rows_per_block": 100, **source}
    return INGEST(ingest_request(SourceConfig(**settings)), NoInputs(), run)


def _array(values: Sequence[Any] | np.ndarray) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    return pa.array(values)
