"""A sample of the rows of a pool by coordinated hashing, merged in pairs on the workers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra.compute import Compute
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.sample.candidates import CandidateRows, score_of

HASH, VECTOR = "hash", "vector"
Rates = Callable[[pa.Table], NDArray[np.float64] | float]


@dataclass(frozen=True)
class _Choice:
    """Which rows a worker hands in: those whose hash is at most their rate; with `size`, only the smallest of these."""

    rows: CandidateRows
    columns: tuple[str, ...]
    rates: Rates
    seed: int
    size: int | None
    vectors: bool

    def __call__(self, block: str) -> pa.Table:
        table = self.rows.table(block, ["identity", *self.columns])
        for name in self.columns:
            if name.startswith("score."):
                score_of(table, name.removeprefix("score."))
        value = uniform(self.seed, table["identity"].to_numpy())
        place = np.flatnonzero(value <= self.rates(table))
        place = place[np.argsort(value[place], kind="stable")][: self.size]
        columns = {name: table[name].take(pa.array(place)) for name in self.columns}
        chosen = pa.table({**columns, HASH: value[place]})
        if self.vectors:
            x = self.rows.vectors(block, table["row_id"].to_numpy()[place])
            lists = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(x).ravel()), x.shape[1])
            chosen = chosen.append_column(VECTOR, lists)
        return chosen

    def merge(self, one: pa.Table, other: pa.Table) -> pa.Table:
        """Return the rows of both, in the order of their hashes."""
        both = pa.concat_tables([one, other])
        order = np.argsort(both[HASH].to_numpy(), kind="stable")[: self.size]
        return both.take(pa.array(order)).combine_chunks()


def sample_table(
    rows: CandidateRows, columns: Sequence[str], size: int, pool: int, seed: int, compute: Compute
) -> pa.Table:
    """Return the `size` rows of a pool with the smallest hashes, with some columns, in the order of the hashes.

    pool: how many candidate rows there are. Scores are checked in all rows: raises RecipeError where one is missing.
    """
    found = _gather(_Choice(rows, tuple(columns), _smallest(size, pool), seed, size, vectors=False), compute)
    return pa.table({name: pa.array([], pa.float64()) for name in columns}) if found is None else found.drop(HASH)


def sample_vectors(rows: CandidateRows, size: int, pool: int, seed: int, compute: Compute) -> NDArray[np.float32]:
    """Return the vectors of the `size` rows of a pool with the smallest hashes, (m, d) float32, in their order."""
    found = _gather(_Choice(rows, (), _smallest(size, pool), seed, size, vectors=True), compute)
    return np.empty((0, 1), np.float32) if found is None else vectors_of(found)


def sample_at(
    rows: CandidateRows, columns: Sequence[str], rates: Rates, seed: int, compute: Compute
) -> pa.Table | None:
    """Return the rows whose hash is at most a rate of their own, with some columns and `vector`; None without blocks.

    rates: given a table of the columns, the share of its rows that is wanted, (n,) float64. In the order of the hashes.
    """
    return _gather(_Choice(rows, tuple(columns), rates, seed, None, vectors=True), compute)


def vectors_of(sampled: pa.Table) -> NDArray[np.float32]:
    """Return the column `vector` of a sample, (m, d) float32."""
    lists = sampled[VECTOR].combine_chunks()
    x: NDArray[np.float32] = lists.flatten().to_numpy().reshape(len(lists), lists.type.list_size)
    return x


def _smallest(size: int, pool: int) -> Rates:
    """Return the rate at which hardly ever fewer than `size` rows of a pool are chosen."""
    return partial(_everywhere, rate=(size + 4 * size**0.5) / max(1, pool))


def _everywhere(table: pa.Table, rate: float) -> float:
    return rate


def _gather(choice: _Choice, compute: Compute) -> pa.Table | None:
    work = choice.rows.pool.rows * (400 if choice.vectors else 40)
    return compute.reduce(choice, choice.merge, choice.rows.blocks, work=work)
