"""What every draw does with blocks: send arrays to workers, run over all blocks, write the columns of a selection."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.tasks.sample.candidates import CandidateRows, Columns
from evenkeel.tasks.step import Run


@dataclass(frozen=True)
class SharedArray:
    """An array of float64 that every worker reads: a file where there is a folder for it, else sent along.

    A large array inside of what is sent to workers would be sent with every block.
    """

    uri: str
    scratch: str
    array: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, array: NDArray[np.int64] | NDArray[np.float64], folder: str, scratch: str) -> "SharedArray":
        """Write an array to a folder; without a folder, keep it."""
        array = array.astype(np.float64, copy=False)
        return cls(array_for_workers(folder, array), scratch) if folder else cls("", "", array)

    def read(self) -> NDArray[np.float64]:
        """Return the array, as a memory map where it is a file."""
        return mapped(self.uri, self.scratch) if self.array is None else self.array


def array_for_workers(folder: str, array: NDArray[np.int64] | NDArray[np.float64]) -> str:
    """Write an array that every worker maps, and return its URI.

    It is named by its content: a worker keeps its copy of a remote file under the file's name.
    """
    uri = storage.join(folder, f"cells-{xxhash.xxh3_64_hexdigest(array.tobytes())}.npy")
    write_array(uri, array)
    return uri


def mapped(uri: str, scratch: str) -> NDArray[np.float64]:
    """Return an array that the driver wrote for the workers, as a memory map."""
    array: NDArray[np.float64] = map_array(uri, Path(scratch))
    return array


def run_blocks(function: Callable[[int], int], rows: CandidateRows, run: Run) -> None:
    """Call `function` with the number of every block, on the workers, and report progress."""
    total = max(1, len(rows.blocks))
    run.compute.map(
        function,
        range(len(rows.blocks)),
        work=rows.pool.rows * 40,
        on_done=lambda done: run.progress(0.9 * done / total, f"drawing rows: block {done} of {total}"),
    )


def selection_of(
    first: Columns, copies: NDArray[np.int64], probability: NDArray[np.float64], carry: tuple[str, ...]
) -> pa.Table:
    """Return the table of a selection, sorted by row_id; weight is 1 / probability."""
    order = np.argsort(first["row_id"], kind="stable")
    columns = {
        "row_id": first["row_id"][order].astype(np.uint64),
        "copies": copies[order].astype(np.int32),
        "weight": 1.0 / probability[order].astype(np.float64),
        "leaf": first["leaf"][order].astype(np.int32),
    }
    return pa.table({**columns, **{name: first[name][order] for name in carry}})
