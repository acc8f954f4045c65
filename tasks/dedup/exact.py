"""Exact duplicates: rows whose texts (or vectors, where there is no text) have one hash, over the whole pool.

Each block leaves its records sorted by hash, a section for each range of hashes; then every range is gathered from the
sections of all blocks and grouped on its own. Memory is bounded by a block, then by a range, every record is read once,
and nothing depends on how many workers there are.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xxhash

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Array, UInt64Array
from evenkeel.infra.sections import read_sections, write_sections
from evenkeel.tasks.dedup.drops import EXACT, Drops
from evenkeel.tasks.dedup.ranges import cut_by_range
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
    ranges = -(-pool.rows // run.compute.rows_of_a_task(size, RECORD_BYTES, RECORDS_PER_RANGE))
    run.compute.map(partial(_write_run, stage, rank_columns(pool, stage.best), ranges), pool.blocks, work=size)
    runs = [_run_of(stage, block) for block in pool.blocks]
    parts = run.compute.map(partial(_group_range, runs), range(ranges), work=size)
    dropped = np.concatenate([np.empty((2, 0), np.uint64), *parts], axis=1)
    return Drops.of(dropped[0], dropped[1], EXACT)


def _run_of(stage: Stage, block: Block) -> str:
    """Return the file of the records of a block."""
    return storage.join(stage.folder, f"{block.name}.bin")


def _write_run(stage: Stage, columns: Sequence[str], ranges: int, block: Block) -> None:
    """Write the records of one block sorted by hash, a section for each of `ranges` equal ranges of hashes."""
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
    records = records[np.argsort(records["hash"], kind="stable")]
    write_sections(_run_of(stage, block), cut_by_range(records, "hash", ranges))


def _vector_hashes(vectors: Array) -> UInt64Array:
    digests = b"".join([xxhash.xxh3_128_digest(row) for row in np.ascontiguousarray(vectors)])
    return np.frombuffer(digests, "<u8").reshape(-1, 2)


def _group_range(runs: Sequence[str], part: int) -> UInt64Array:
    """Return dropped rows and their representatives, (2, n), of one range of hashes."""
    records = np.concatenate([np.frombuffer(read_sections(uri, part, part + 1)[0], RECORD) for uri in runs])
    records = records[np.argsort(records["hash"], kind="stable")]
    equal = records["hash"][1:] == records["hash"][:-1]
    records = records[np.append(equal, False) | np.append(False, equal)]
    records = records[np.lexsort([records[name] for name in reversed(RECORD.names or ())])]
    new = np.ones(len(records), bool)
    new[1:] = (records["hash"][1:] != records["hash"][:-1]) | (records["more"][1:] != records["more"][:-1])
    ids: UInt64Array = records["row_id"]
    best = ids[new][np.cumsum(new) - 1]
    return np.stack([ids[~new], best[~new]])
