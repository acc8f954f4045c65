"""Samples that rules are fitted on: of the target set's vectors, and of the pool's."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Array, Float32Array, UInt64Array
from evenkeel.infra.errors import InputError
from evenkeel.infra.hashing import uniform
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.tables import read_groups
from evenkeel.tasks.dedup.row_set import RowSet
from evenkeel.tasks.dedup.target_set import SeenSet
from evenkeel.tasks.signal.groups import count_groups
from evenkeel.tasks.signal.sample import CHOSEN, sample_rows, vectors_of
from evenkeel.tasks.signal.source import SignalSource

if TYPE_CHECKING:
    from evenkeel.tasks.embed.vectors import Vectors
    from evenkeel.tasks.step import Run

SEED = 0x7467_7473
ROWS_PER_CHUNK = 8192
IDENTITY = "ek_identity"


def target_sample(target: RowSet, vectors: "Vectors", size: int, run: "Run") -> tuple[Float32Array, int]:
    """Return at most `size` vectors of the target, (n, d) float32, in its order, and how many rows it has."""
    kept, keys, seen = np.empty((0, vectors.dimension), np.float32), np.empty(0), 0
    for part in target.vectors(vectors, run):
        drawn = uniform(SEED, np.arange(seen, seen + len(part), dtype=np.uint64))
        kept, keys, seen = np.concatenate([kept, part]), np.concatenate([keys, drawn]), seen + len(part)
        first = np.sort(np.argsort(keys, kind="stable")[:size])
        kept, keys = kept[first], keys[first]
    return kept, seen


def pool_sample(source: SignalSource, folder: str, size: int, run: "Run") -> Float32Array:
    """Return about `size` vectors of the pool, (n, d) float32, chosen and ordered by the hash of their id."""
    place = storage.join(folder, "drawn")
    count_groups(source, "", place, run)
    found = vectors_of(source, sample_rows(source, place, size, SEED, run))
    storage.remove(place)
    return found


def seen_sample(source: SignalSource, seen: SeenSet, size: int, run: "Run") -> tuple[Float32Array, int]:
    """Return at most `size` vectors of what has been seen, (n, d) float32, and how many rows that is.

    Rows of a published version are found in the pool by their identity, so that they need no vectors of their own; rows
    that have left the pool are passed over. Raises InputError where none is left.
    """
    if not seen.published:
        return target_sample(seen, source.vectors, size, run)
    kept, rows = np.empty(0, np.uint64), 0
    for uri in storage.list_files(str(seen.uri)):
        for table in read_groups(uri, [IDENTITY]):
            kept = np.unique(np.concatenate([kept, table[IDENTITY].to_numpy().astype(np.uint64)]))
            kept = kept[np.argsort(uniform(SEED, kept), kind="stable")[:size]]
            rows += table.num_rows
    find = partial(_find, source, np.sort(kept))
    parts = run.compute.map(find, range(len(source.blocks)), work=source.pool.rows * 16)
    chosen = np.concatenate([np.empty(0, CHOSEN), *parts])
    if not len(chosen):
        raise InputError(
            "no row of the version that was seen is in the pool",
            found=f"{rows:,} rows in {seen.uri}",
            where=seen.where,
            remedy="name files of what was seen (target_set.seen.uri)",
        )
    return vectors_of(source, chosen[np.argsort(chosen["hash"], kind="stable")]), rows


def _find(source: SignalSource, wanted: UInt64Array, number: int) -> Array:
    identity = source.pool.table(source.blocks[number], ["identity"])["identity"].to_numpy()
    rows = np.flatnonzero(find_sorted(wanted, identity)[1])
    found = np.zeros(len(rows), CHOSEN)
    found["block"], found["row"], found["hash"] = number, rows, uniform(SEED, identity[rows])
    return found


def chunks(source: SignalSource, block: str) -> Iterator[Float32Array]:
    """Yield the vectors of a block, (n, d) float32, some rows at a time."""
    vectors = source.vectors.block(block)
    for start in range(0, len(vectors), ROWS_PER_CHUNK):
        yield np.asarray(vectors[start : start + ROWS_PER_CHUNK], np.float32)
