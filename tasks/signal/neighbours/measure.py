"""Measure every row by its nearest neighbours: cell by cell, on the workers, in memory for the rows of nine cells."""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Array, Float64Array
from evenkeel.tasks.embed.device import worker_device
from evenkeel.tasks.kmeans.options import Device
from evenkeel.tasks.signal.neighbours.cells import MEMBER, Cells
from evenkeel.tasks.signal.neighbours.device_search import nearest_on_device
from evenkeel.tasks.signal.neighbours.search import disagreement, distance_to_last, nearest
from evenkeel.tasks.signal.neighbours.size import MAX_COMPARED, NEXT
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run

Measure = Literal["distance", "disagreement"]
MAX_BYTES = 1 << 28
FOUND = np.dtype([("block", "<i4"), ("row", "<u4"), ("value", "<f8")])


def measure_rows(cells: Cells, k: int, measure: Measure, folder: str, run: Run) -> int:
    """Write the value of every row that is in a cell; return the number of files."""
    with threadpool_limits(1):  # the number of BLAS threads would show in ties
        work = cells.source.pool.rows * cells.source.vectors.dimension * 4
        batch = partial(measure_batch, cells, k, measure, folder, worker_device(run.compute))
        run.compute.map(batch, cells.batches(), work=work)
    return len(cells.batches())


def measure_batch(cells: Cells, k: int, measure: Measure, folder: str, device: Device, batch: int) -> None:
    """Measure the rows of consecutive cells, and write their values sorted by block and row. device: where."""
    near, opened, parts = cells.near(), cells.open(), [np.empty(0, FOUND)]
    for cell in range(cells.edges[batch], cells.edges[batch + 1]):
        members = opened.members(cell)
        if not len(members):
            continue
        found = np.empty(len(members), FOUND)
        found["block"], found["row"] = members["block"], members["row"]
        others = [opened.members(other) for other in dict.fromkeys(near[cell].tolist())]
        found["value"] = measure_cell(cells, members, others, k, measure, device)
        parts.append(found)
    values = np.concatenate(parts)
    values = values[np.lexsort((values["row"], values["block"]))]
    write_array(storage.join(folder, f"found-{batch}.npy"), values)


def measure_cell(
    cells: Cells, members: Array, others: list[Array], k: int, measure: Measure, device: Device
) -> Float64Array:
    """Return the values of the members of a cell, (n,) float64. others: the members of cells near it, itself first.

    Of a cell with more than 4,096 rows the first so many by the hash of the id are compared with: a random sample.
    """
    most = max(k + 1, min(MAX_COMPARED, MAX_BYTES // (4 * (NEXT + 1) * cells.source.vectors.dimension)))
    compared = np.concatenate([np.empty(0, MEMBER), *(other[:most] for other in others)])
    rows = cells.rows(compared)
    centre = rows.mean(axis=0)
    rows -= centre
    values, find = np.empty(len(members)), nearest_on_device if device.gpu else nearest
    for start in range(0, len(members), most):
        part = members[start : start + most]
        queries = rows[: len(part)] if start == 0 else cells.rows(part) - centre
        own = np.arange(len(part)) if start == 0 else np.full(len(part), -1)
        found = find(queries, rows, own, k)
        if measure == "distance":
            values[start : start + len(part)] = distance_to_last(found)
        else:
            values[start : start + len(part)] = disagreement(found, part["label"], compared["label"])
    return values


def values_of_block(source: SignalSource, block: str, folder: str, files: int) -> Float64Array:
    """Return the values of the rows of a block, (n,) float64, NaN for rows that are in no cell."""
    number = source.pool.number(block)
    values = np.full(source.pool.blocks[number].rows, np.nan)
    for file in range(files):
        found = map_array(storage.join(folder, f"found-{file}.npy"), Path(source.pool.scratch))
        start, stop = np.searchsorted(found["block"], [number, number + 1])
        values[found["row"][start:stop]] = found["value"][start:stop]
    return values
