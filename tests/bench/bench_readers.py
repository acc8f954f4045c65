"""How fast training loops read a version: ours, `datasets`, torchdata, mosaicml-streaming, each as a PyTorch loader.

python -m tests.bench.bench_readers [rows]      (in an environment with torch, torchdata, datasets, mosaicml-streaming)
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.tasks.reading.stream import RowStream
from evenkeel.tasks.reading.torch import TorchStream

BATCH = 256
os.environ["HF_HUB_OFFLINE"] = "1"


def timed(what: str, rows: int, batches: Callable[[], Iterable[object]]) -> None:
    """Print how many rows a second of processor time, and of wall clock, give."""
    started, before = time.perf_counter(), time.process_time()
    count = sum(1 for _ in batches())
    wall, spent = time.perf_counter() - started, time.process_time() - before
    assert abs(count - rows / BATCH) <= 2, count
    print(f"{what:58s} {rows / spent:10,.0f} rows per CPU-s {rows / wall:10,.0f} per s", flush=True)


def write_pool(folder: Path, rows: int, staged: bool = False) -> None:
    """Write texts of 400 characters as the data files of a version: row groups of 10,000, every row once.

    staged: with three stages of 30, 60 and 10 % that lie together, and ranks, as a recipe with stages and an order.
    """
    rng = np.random.default_rng(0)
    stage = np.searchsorted([0.3, 0.9], (np.arange(rows) + 0.5) / rows)
    words = np.array(["".join(rng.choice(list("abcdefghij"), 7)) for _ in range(5_000)])
    folder.mkdir()
    for number, first in enumerate(range(0, rows, 50_000)):
        size = min(50_000, rows - first)
        texts = [" ".join(picked) for picked in words[rng.integers(0, len(words), (size, 50))]]
        table = pa.table(
            {
                "text": texts,
                "ek_id": [f"doc-{one:07d}" for one in range(first, first + size)],
                "ek_copies": np.ones(size, np.int32),
                "ek_weight": np.ones(size),
            }
        )
        if staged:
            for one in range(3):
                here = (stage[first : first + size] == one).astype(np.int32)
                table = table.append_column(f"ek_stage_{one}", pa.array(here))
            table = table.append_column("ek_rank", pa.array(np.arange(first, first + size)))
        pq.write_table(table, folder / f"part-{number:05d}.parquet", row_group_size=10_000, compression="zstd")


def main(rows: int) -> None:
    """Measure every loader on the same rows."""
    import torch
    from datasets import load_dataset
    from streaming import MDSWriter, StreamingDataset
    from torch.utils.data import DataLoader
    from torchdata.nodes import Batcher, IterableWrapper, Loader

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        data, mds = Path(scratch) / "data", Path(scratch) / "mds"
        write_pool(data, rows)
        files = str(data / "*.parquet")
        columns = {"text": "str", "ek_id": "str", "ek_copies": "int32", "ek_weight": "float64"}
        with MDSWriter(out=str(mds), columns=columns) as sink:
            for path in sorted(data.iterdir()):
                for row in pq.read_table(path).to_pylist():
                    sink.write(row)

        ours = TorchStream(RowStream(str(data), batch=BATCH, seed=0))
        timed("our stream, shuffled, exact resume", rows, lambda: DataLoader(ours, batch_size=None))
        write_pool(Path(scratch) / "staged", rows, staged=True)
        for order in (False, True):
            for number, share in enumerate((0.3, 0.6, 0.1)):
                part = RowStream(
                    str(Path(scratch) / "staged"),
                    columns=[*columns],
                    batch=BATCH,
                    seed=0,
                    stage=str(number),
                    order=order,
                )
                what = f"our stream, stage {number} ({share:.0%})" + (", in order" if order else "")
                loader = TorchStream(part)
                timed(what, int(rows * share), lambda loader=loader: DataLoader(loader, batch_size=None))  # type: ignore[misc]

        def stream() -> object:
            found = load_dataset("parquet", data_files=files, split="train", streaming=True, cache_dir=scratch)
            return found.shuffle(seed=0, buffer_size=10_000)

        timed(
            "datasets, streaming, shuffled, batches made by it",
            rows,
            lambda: DataLoader(stream().batch(BATCH), batch_size=None),  # type: ignore[attr-defined]
        )
        timed(
            "torchdata nodes over datasets, shuffled",
            rows,
            lambda: Loader(Batcher(IterableWrapper(stream()), BATCH, drop_last=False)),
        )
        rows_of = StreamingDataset(local=str(mds), batch_size=BATCH, shuffle=True)
        timed(
            "mosaicml-streaming from MDS, shuffled, exact resume", rows, lambda: DataLoader(rows_of, batch_size=BATCH)
        )


if __name__ == "__main__":
    main(int([*sys.argv[1:], "100000"][0]))
