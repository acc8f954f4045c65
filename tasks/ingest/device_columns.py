"""Parquet columns decoded on a CUDA device by cuDF, several row groups ahead.

A device has two places: as many shards are decoded there at a time, and the others by Arrow, since a reader that waited
for the device would be slower than the cores that wait with it.

A column of vectors is decoded there too: its numbers come home as one flat array, not as lists, and offsets only where
lengths differ or are unknown. Types that cuDF does not know (float16, text, binary) are left to Arrow.
"""

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from evenkeel.infra.reduction import results_here
from evenkeel.tasks.ingest.held_file import HeldFile
from evenkeel.tasks.ingest.reader import LocalShard

AHEAD = 2
PLACES = 2


@contextmanager
def device_place() -> Iterator[bool]:
    """Take a place on the device, whichever process asks; yields whether there was one."""
    with ExitStack() as stack:
        places = (Path(tempfile.gettempdir(), f"evenkeel-{os.getuid()}-decodes-{number}") for number in range(PLACES))
        yield any(_taken(stack.enter_context(open(place, "w"))) for place in places)


def _taken(place: IO[str]) -> bool:
    """Lock a file until it is closed; tell whether that could be done."""
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another holds it
        return False
    return True


def decodes(kind: pa.DataType) -> bool:
    """Tell whether a column of vectors of this type is decoded on the device: lists of numbers but float16."""
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not lists or pa.types.is_float16(kind.value_type):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def decoded_groups(
    shard: LocalShard, columns: Sequence[str], vector: str | None, groups: int
) -> Generator[pa.Table, None, None]:
    """Return the columns of every row group, in order; up to two more are being decoded meanwhile.

    vector: one of the columns, of a type that `decodes`; None where there is none.
    """
    return results_here(partial(decoded_group, shard, columns, vector), range(groups), threads=AHEAD, ahead=1)


def decoded_group(shard: LocalShard, columns: Sequence[str], vector: str | None, group: int) -> pa.Table:
    """Return the columns of one row group."""
    import cudf

    source = shard.path if shard.held is None else HeldFile(shard.held)
    frame = cudf.read_parquet(source, columns=list(columns), row_groups=[group])
    rest = [name for name in columns if name != vector]
    table: pa.Table = frame[rest].to_arrow(preserve_index=False) if rest else pa.table({})
    if vector is None:
        return table
    found = vectors_home(frame[vector])
    return pa.table([*table.columns, found], names=[*rest, vector]).select(list(columns))


def vectors_home(column: Any) -> pa.Array:
    """Return a cuDF column of lists of numbers as Arrow's: null rows are null, null numbers are NaN."""
    lengths = column.list.len().astype("float64").fillna(-1).to_numpy().astype(np.int64)
    leaves = column.list.leaves
    if leaves.has_nulls:
        leaves = leaves.astype("float64").fillna(np.nan)
    numbers = pa.array(leaves.to_numpy())
    if len(lengths) and lengths[0] > 0 and (lengths == lengths[0]).all():
        return pa.FixedSizeListArray.from_arrays(numbers, int(lengths[0]))
    offsets = pa.array(np.concatenate(([0], np.cumsum(np.maximum(lengths, 0)))), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, numbers, mask=pa.array(lengths < 0))
