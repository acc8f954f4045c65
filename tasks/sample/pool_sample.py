"""A sample of the rows of a pool by coordinated hashing, merged in pairs on the workers."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from evenkeel.infra.compute import Compute
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.sample.candidates import CandidateRows, score_of

VALUE = "value"


def sample_table(
    rows: CandidateRows, columns: Sequence[str], size: int, pool: int, seed: int, compute: Compute
) -> pa.Table:
    """Return the `size` rows of a pool with the smallest hashes, with some columns, in the order of the hashes.

    pool: how many candidate rows there are. Scores are checked in all rows: raises RecipeError where one is missing.
    """
    share = (size + 4 * size**0.5) / max(1, pool)
    choose = partial(_choose, rows=rows, columns=tuple(columns), share=share, size=size, seed=seed)
    found = compute.reduce(choose, partial(_merge, size=size), rows.blocks, work=rows.pool.rows * 40)
    return pa.table({name: pa.array([], pa.float64()) for name in columns}) if found is None else found.drop(VALUE)


def _choose(block: str, rows: CandidateRows, columns: tuple[str, ...], share: float, size: int, seed: int) -> pa.Table:
    table = rows.table(block, ["identity", *columns])
    for name in columns:
        if name.startswith("score."):
            score_of(table, name.removeprefix("score."))
    value = uniform(seed, table["identity"].to_numpy())
    chosen = table.select(list(columns)).append_column(VALUE, pa.array(value)).filter(pa.array(value <= share))
    return _first(chosen, size)


def _merge(one: pa.Table, other: pa.Table, size: int) -> pa.Table:
    return _first(pa.concat_tables([one, other]), size)


def _first(table: pa.Table, size: int) -> pa.Table:
    order = np.argsort(table[VALUE].to_numpy(), kind="stable")[:size]
    return table.take(pa.array(order)).combine_chunks()
