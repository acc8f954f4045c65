"""Samples that rules are fitted on: of the target set's vectors, and of the pool's."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float32Array
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.signal.groups import count_groups
from evenkeel.tasks.signal.sample import sample_rows, vectors_of
from evenkeel.tasks.signal.source import SignalSource

if TYPE_CHECKING:
    from evenkeel.tasks.embed.vectors import Vectors
    from evenkeel.tasks.step import Run

SEED = 0x7467_7473
ROWS_PER_CHUNK = 8192


def target_sample(target: TargetSet, vectors: "Vectors", size: int, run: "Run") -> tuple[Float32Array, int]:
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


def chunks(source: SignalSource, block: str) -> Iterator[Float32Array]:
    """Yield the vectors of a block, (n, d) float32, some rows at a time."""
    vectors = source.vectors.block(block)
    for start in range(0, len(vectors), ROWS_PER_CHUNK):
        yield np.asarray(vectors[start : start + ROWS_PER_CHUNK], np.float32)
