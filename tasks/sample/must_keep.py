"""Put rows that must be kept among those that were drawn, each in the place of a drawn row of its leaf."""

from functools import partial

import numpy as np
import pyarrow as pa

from evenkeel.infra.dtypes import BoolArray, Float64Array, Int64Array, UInt64Array
from evenkeel.infra.errors import AccountingError, RecipeError
from evenkeel.infra.hashing import uniform
from evenkeel.tasks.ingest.must_keep import among, ids_of
from evenkeel.tasks.ingest.pool import blocks_of
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.step import Run

SEED = 0x0417


def with_rows_kept(
    selection: pa.Table, must: UInt64Array, rows: CandidateRows, sizes: Int64Array, seed: int, run: Run
) -> pa.Table:
    """Return a selection that holds all rows that must be kept, and as many rows as before.

    must: (n,) uint64, ascending. sizes: rows of every leaf, (leaves,) int64. A drawn row of the same leaf gives way, by
    a hash of seed and row, one with few copies first; where a leaf has too few, rows of others. The rows that must be
    kept have weight 1; those of their leaves count for the rest of the leaf, (q - m) of (n - m). Raises RecipeError
    where there are more of them than the target, AccountingError where one has left before.
    """
    drawn, mine = selection["row_id"].to_numpy(), among(must, selection["row_id"].to_numpy())
    lacking = must[~among(drawn, must)]
    if len(must) > len(drawn):
        raise RecipeError(
            "more rows must be kept than the target allows",
            expected=f"at most {len(drawn):,}",
            found=f"{len(must):,}",
            where="ownership.rows",
            remedy="raise sampling.target",
        )
    found = _rows_of(lacking, selection.column_names, rows, run)
    if found.num_rows != len(lacking):
        lost = np.setdiff1d(lacking, found["row_id"].to_numpy())
        raise AccountingError(
            f"{len(lost):,} rows that must be kept have left before sampling",
            found=", ".join(ids_of(rows.pool, lost)),
            where="ownership.rows",
            remedy="this is a defect of ours: please report it",
        )
    leaf = selection["leaf"].to_numpy()
    out = _giving_way(drawn, leaf, selection["copies"].to_numpy(), mine, found["leaf"].to_numpy(), seed)
    kept = selection.filter(pa.array(~out))
    both = pa.concat_tables([kept, found.select(kept.column_names).cast(kept.schema)]).sort_by("row_id")
    forced = among(must, both["row_id"].to_numpy())
    weight = _weights(both, forced, np.bincount(leaf, minlength=len(sizes)), sizes)
    return both.set_column(both.column_names.index("weight"), "weight", pa.array(weight))


def _giving_way(
    drawn: UInt64Array, leaf: Int64Array, copies: Int64Array, mine: BoolArray, arriving: Int64Array, seed: int
) -> BoolArray:
    """Return which drawn rows make room for rows of these leaves, (drawn,) bool."""
    leaves = int(max(leaf.max(initial=0), arriving.max(initial=0))) + 1
    room = np.bincount(arriving, minlength=leaves)
    hashed = uniform(seed ^ SEED, drawn)
    order = np.lexsort((-hashed, copies, leaf))
    order = order[~mine[order]]
    first = np.searchsorted(leaf[order], np.arange(leaves))
    place = np.arange(len(order)) - first[leaf[order]]
    out = np.zeros(len(drawn), np.bool_)
    out[order[place < room[leaf[order]]]] = True
    if (more := len(arriving) - int(out.sum())) > 0:
        rest = np.lexsort((-hashed, copies))
        out[rest[~(mine | out)[rest]][:more]] = True
    return out


def _weights(both: pa.Table, forced: BoolArray, drawn: Int64Array, sizes: Int64Array) -> Float64Array:
    """Return 1 over the chance of each row: 1 for those that are forced, the rest of a leaf for its other rows."""
    leaf = both["leaf"].to_numpy()
    count = np.bincount(leaf[forced], minlength=len(sizes))
    others = np.bincount(leaf[~forced], minlength=len(sizes))
    before, now = drawn / np.maximum(sizes, 1), others / np.maximum(sizes - count, 1)
    factor = np.where((count > 0) & (now > 0), before / np.maximum(now, 1e-300), 1.0)
    weight: Float64Array = np.where(forced, 1.0, both["weight"].to_numpy() * factor[leaf])
    return weight


def _rows_of(row_ids: UInt64Array, columns: list[str], rows: CandidateRows, run: Run) -> pa.Table:
    """Return some rows of the clustered pool as rows of a selection, in one copy each."""
    blocks = [block.name for block in blocks_of(rows.pool, row_ids)]
    carried = tuple(name for name in columns if name not in ("row_id", "copies", "weight", "leaf"))
    parts = run.compute.map(partial(_of_block, row_ids, carried, rows), blocks, work=len(blocks) * 1_000_000)
    empty = pa.table({"row_id": pa.array([], pa.uint64()), "leaf": pa.array([], pa.int32())})
    found = pa.concat_tables(parts) if parts else empty
    one = {"copies": np.ones(found.num_rows, np.int32), "weight": np.ones(found.num_rows)}
    for name, values in one.items():
        found = found.append_column(name, pa.array(values))
    missing = [name for name in columns if name not in found.column_names]  # only where no block was read
    for name in missing:
        found = found.append_column(name, pa.nulls(found.num_rows))
    return found


def _of_block(row_ids: UInt64Array, carried: tuple[str, ...], rows: CandidateRows, block: str) -> pa.Table:
    table = rows.table(block, carried)
    return table.filter(pa.array(among(row_ids, table["row_id"].to_numpy()))).drop_columns(["distance"])
