"""Exact duplicates: rows whose texts (or vectors, where there is no text) have one hash, over the whole pool.

Each block leaves a run of records sorted by hash; then every range of hashes is gathered from all runs and grouped on
its own. Memory is bounded by a block, then by a range, and nothing depends on how many workers there are.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import xxhash

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.dtypes import Array, UInt64Array
from evenkeel.tasks.dedup.drops import EXACT, Drops
from evenkeel.tasks.dedup.rank import keep_priority, rank_columns
from evenkeel.tasks.dedup.stage import Stage
from evenkeel.tasks.ingest.pool import Block
from evenkeel.tasks.step import Run

RECORD = np.dtype([("hash", "<u8"), ("more", "<u8"), ("priority", "<u4"), ("identity", "<u8"), ("row_id", "<u8")])
RECORDS_PER_RANGE = 1 << 24  # fewer where the process has less memory
RECORD_BYTES = 4.2 * RECORD.itemsize  # of a range: cut from all runs, put together, sorted, and their order


def exact_duplicates(stage: Stage, run: Run) -> Drops:
    """Return the rows that repeat another, each with the best row of its group."""
    pool = stage.pool
    size = pool.rows * RECORD.itemsize
    run.compute.map(partial(_write_run, stage, rank_columns(pool, stage.best)), pool.blocks, work=size)
    ranges = -(-pool.rows // run.compute.rows_of_a_task(size, RECORD_BYTES, RECORDS_PER_RANGE))
    runs = [storage.join(stage.folder, f"{block.name}.npy") for block in pool.blocks]
    work = partial(_group_range, runs, ranges, run.scratch)
    parts = run.compute.map(work, range(ranges), work=size)
    dropped = np.concatenate([np.empty((2, 0), np.uint64), *parts], axis=1)
    return Drops.of(dropped[0], dropped[1], EXACT)


def _write_run(stage: Stage, columns: Sequence[str], block: Block) -> None:
    """Write the records of one block, sorted by hash."""
    table = stage.pool.table(block, [*columns, "text_hash"])
    records = np.empty(table.num_rows, RECORD)
    if stage.pool.has_text:
        hashes = np.frombuffer(b"".join(table["text_hash"].to_pylist()), "<u8").reshape(-1, 2)
    else:
        hashes = _vector_hashes(stage.vectors.block(block))
    records["hash"], records["more"] = hashes[:, 0], hashes[:, 1]
    records["priority"] = keep_priority(table, columns)
    records["identity"] = table["identity"].to_numpy()
    records["row_id"] = table["row_id"].to_numpy()
    records = records[stage.before.kept(records["row_id"])]
    write_array(storage.join(stage.folder, f"{block.name}.npy"), records[np.argsort(records["hash"], kind="stable")])


def _vector_hashes(vectors: Array) -> UInt64Array:
    digests = b"".join([xxhash.xxh3_128_digest(row) for row in np.ascontiguousarray(vectors)])
    return np.frombuffer(digests, "<u8").reshape(-1, 2)


def _group_range(runs: Sequence[str], ranges: int, scratch: Path, part: int) -> UInt64Array:
    """Return dropped rows and their representatives, (2, n), of one of `ranges` equal ranges of hashes."""
    low, high = part * 2**64 // ranges, (part + 1) * 2**64 // ranges - 1
    pieces = []
    for uri in runs:
        records = map_array(uri, scratch)
        start, stop = np.searchsorted(records["hash"], np.array([low, high], np.uint64))
        stop += np.searchsorted(records["hash"][stop:], np.uint64(high), side="right")
        pieces.append(np.array(records[start:stop]))
    records = np.concatenate(pieces)
    records = records[np.argsort(records["hash"], kind="stable")]
    equal = records["hash"][1:] == records["hash"][:-1]
    records = records[np.append(equal, False) | np.append(False, equal)]
    records = records[np.lexsort([records[name] for name in reversed(RECORD.names or ())])]
    new = np.ones(len(records), bool)
    new[1:] = (records["hash"][1:] != records["hash"][:-1]) | (records["more"][1:] != records["more"][:-1])
    ids: UInt64Array = records["row_id"]
    best = ids[new][np.cumsum(new) - 1]
    return np.stack([ids[~new], best[~new]])
