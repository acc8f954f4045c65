"""How fast ingest reads: vectors from Arrow's flat buffer, and whole pools. `python -m tests.bench.bench_ingest`."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.infra.compute import Compute
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.ingest.vectors import to_matrix
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.step import Run

ROWS, DIMENSION = 100_000, 384


def cpu(work: Callable[[], Any]) -> float:
    """Return the processor seconds of a call, the best of three."""
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


def main() -> None:
    """Print rates per processor second."""
    X = np.random.default_rng(0).normal(size=(ROWS, DIMENSION)).astype(np.float32)
    for dtype in (np.float32, np.float16):
        flat = pa.array(X.astype(dtype).ravel())
        fixed = pa.chunked_array([pa.FixedSizeListArray.from_arrays(flat, DIMENSION)])
        lists = pa.chunked_array(
            [pa.ListArray.from_arrays(pa.array(np.arange(ROWS + 1, dtype=np.int32) * DIMENSION), flat)]
        )
        for name, column in (("fixed_size_list", fixed), ("list", lists)):
            seconds = cpu(lambda column=column, dtype=dtype: to_matrix(column, DIMENSION, dtype))  # type: ignore[misc]
            print(f"{name}<{np.dtype(dtype).name}> to checked matrix: {column.nbytes / seconds / 1e9:.1f} GB/s")
    seconds = cpu(lambda: np.stack(lists.slice(0, 10_000).to_pandas().to_numpy()))
    print(f"  the same by pandas objects (list<float16>): {lists.slice(0, 10_000).nbytes / seconds / 1e9:.2f} GB/s")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        texts = [f"row {n} says a few words " * 8 for n in range(ROWS)]
        pq.write_table(pa.table({"id": np.arange(ROWS), "text": texts, "v": fixed}), place / "a.parquet")
        run = Run(workspace=str(place / "w"), dataset="d", scratch=place / "s", compute=Compute(threads=1))
        begin = time.process_time()
        ref = INGEST(ingest_request(SourceConfig(uri=str(place / "a.parquet"))), NoInputs(), run)
        seconds = time.process_time() - begin
        print(f"whole ingest, Parquet, id + text + {DIMENSION} float16: {ref.counts['pool'] / seconds:,.0f} rows/s")


if __name__ == "__main__":
    main()
