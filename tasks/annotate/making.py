"""Make rows between kept rows that lie near each other, leaf by leaf on the workers.

Sources: SMOTE (Chawla et al. 2002, arXiv 1106.1813): x + u (x_nn - x), x_nn one of the k nearest rows of the same
group, u uniform. mixup (arXiv 1710.09412): the same with any row near, and u drawn from a beta distribution.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from evenkeel.infra import storage
from evenkeel.infra.arrays import write_array
from evenkeel.infra.dtypes import Array, Float32Array, Float64Array, Int64Array
from evenkeel.infra.hashing import hash_identities, uniform
from evenkeel.infra.tables import write_table
from evenkeel.tasks.annotate.kept import KeptSource, RowsOf
from evenkeel.tasks.annotate.sorting import read_places
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.signal.groups import read_groups
from evenkeel.tasks.signal.neighbours.cells import Cells, make_cells
from evenkeel.tasks.signal.neighbours.search import nearest
from evenkeel.tasks.step import Run

Rule = Literal["smote", "mixup"]
MAX_COMPARED = 1024
SEED = 0x4D41
BASE = np.dtype([("block", "<i4"), ("row", "<u4"), ("made", "<i4")])


@dataclass(frozen=True)
class Making:
    """How rows are made. ends: of every group (start, whole, rest): its first place, how many rows each of its rows
    makes, and how many of its rows make one more. label: of the group column, "" for none.
    """

    source: AnnotationSource
    cells: Cells
    rule: Rule
    k: int
    alpha: float
    label: str
    ends: Int64Array
    folder: str
    seed: int


def make_rows(
    source: AnnotationSource,
    choose: RowsOf,
    rule: Rule,
    k: int,
    alpha: float,
    group: str,
    ends: Int64Array,
    folder: str,
    seed: int,
    run: Run,
) -> list[int]:
    """Write the made rows as tables in `<folder>/beside`, and which rows they are made of; return how many a file."""
    kept = KeptSource.of(source, choose)
    cells = make_cells(kept, folder, run, metric="euclidean", label=group if rule == "smote" else "", clusters=True)
    making = Making(source, cells, rule, k, alpha, group, ends, folder, seed)
    with threadpool_limits(1):
        work = source.pool.rows * kept.vectors.dimension * 4
        return run.compute.map(partial(_make_batch, making), cells.batches(), work=work)


def _make_batch(making: Making, batch: int) -> int:
    """Write the rows made of those of consecutive leaves."""
    cells, opened, near = making.cells, making.cells.open(), making.cells.near()
    bases, tables = [np.empty(0, BASE)], list[pa.Table]()
    for cell in range(cells.edges[batch], cells.edges[batch + 1]):
        members = opened.members(cell)
        if not len(members):
            continue
        compared = np.concatenate(
            [opened.members(other)[:MAX_COMPARED] for other in dict.fromkeys(near[cell].tolist())]
        )
        for label in np.unique(members["label"]):
            mine, alike = members[members["label"] == label], compared[compared["label"] == label]
            counts = _counts(making, mine)
            mine, counts = mine[counts > 0], counts[counts > 0]
            if not len(mine) or len(alike) < 2:
                continue
            found, made = _between(making, mine, counts, alike)
            if made is not None:
                bases.append(found)
                tables.append(made)
    joined = np.concatenate(bases)
    write_array(storage.join(making.folder, f"bases-{batch}.npy"), joined[np.lexsort((joined["row"], joined["block"]))])
    if tables:
        write_table(storage.join(making.folder, "beside", f"part-{batch:05d}.parquet"), pa.concat_tables(tables))
    return int(joined["made"].sum())


def _counts(making: Making, members: Array) -> Int64Array:
    """Return how many rows are made of each member, (n,) int64: of its group's number, by its place in the group."""
    counts = np.zeros(len(members), np.int64)
    for block in np.unique(members["block"]):
        here = np.flatnonzero(members["block"] == block)
        name = making.cells.source.blocks[block]
        ids = making.cells.source.pool.table(name, ["row_id"])["row_id"].to_numpy()
        place = np.full(len(ids), -1, np.int64)
        place[np.searchsorted(ids, making.source.row_ids(name))] = read_places(making.folder, name)
        places = place[members["row"][here]]
        group = np.maximum(np.searchsorted(making.ends[:, 0], places, side="right") - 1, 0)
        start, whole, rest = making.ends[group].T
        counts[here] = np.where(places >= 0, whole + (places - start < rest), 0)
    return counts


def _between(making: Making, mine: Array, counts: Int64Array, others: Array) -> tuple[Array, pa.Table | None]:
    """Return how many rows were made of each member, and those rows."""
    x, y = making.cells.rows(mine), making.cells.rows(others)
    own = _places_in(mine, others)
    centre = y.mean(axis=0)
    found = nearest(x - centre, y - centre, own, making.k).places
    there = (found >= 0).sum(axis=1)
    base = np.repeat(np.arange(len(mine)), np.where(there > 0, counts, 0))
    if not len(base):
        return np.empty(0, BASE), None
    copy = (np.arange(len(base)) - np.searchsorted(base, base)).astype(np.uint64)
    draws = hash_identities(making.seed + SEED, mine["identity"][base] + copy)
    partner = found[base, (draws % there[base].astype(np.uint64)).astype(np.int64)]
    share = _shares(making, draws)
    vectors = x[base] + share[:, None].astype(np.float32) * (y[partner] - x[base])
    held = np.empty(len(mine), BASE)
    held["block"], held["row"], held["made"] = mine["block"], mine["row"], np.where(there > 0, counts, 0)
    return held, _table(making, mine[base], others[partner], share, vectors)


def _shares(making: Making, draws: np.ndarray) -> Float64Array:
    """Return how far each made row is on the way to its second parent, (n,) float64 in (0, 1)."""
    u = uniform(making.seed + SEED + 1, draws)
    if making.rule == "smote":
        return u
    from scipy.special import betaincinv

    return np.asarray(betaincinv(making.alpha, making.alpha, u), np.float64)


def _table(making: Making, one: Array, other: Array, share: Float64Array, vectors: Float32Array) -> pa.Table:
    columns = made_columns(making.source, one, other, share, vectors)
    if making.label and making.rule == "smote":
        values = pa.array(read_groups(making.cells.folder).values, pa.string())
        columns[making.label.removeprefix("group.")] = values.take(pa.array(one["label"]))
    return pa.table(columns)


def made_columns(
    source: AnnotationSource, one: Array, other: Array, share: Float64Array, vectors: Float32Array
) -> dict[str, pa.Array]:
    """Return the columns of made rows. one, other: where their parents are, by `block` and `row`."""
    found = [_named(source, members) for members in (one, other)]
    ids = [text for pair in zip(found[0][0], found[1][0], strict=True) for text in pair]
    offsets = pa.array(np.arange(0, 2 * len(one) + 1, 2, dtype=np.int32))
    rows = np.stack([found[0][1], found[1][1]], axis=1).ravel()
    return {
        "ek_made": pa.array(np.ones(len(one), bool)),
        "ek_parents": pa.ListArray.from_arrays(offsets, pa.array(ids, pa.string())),
        "ek_parent_rows": pa.ListArray.from_arrays(offsets, pa.array(rows)),
        "ek_share": pa.array(share),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
    }


def _named(source: AnnotationSource, members: Array) -> tuple[list[str], Int64Array]:
    """Return the user's ids and the row ids of some members."""
    ids, rows = np.empty(len(members), object), np.empty(len(members), np.int64)
    for block in np.unique(members["block"]):
        mine = np.flatnonzero(members["block"] == block)
        table = source.pool.table(source.blocks[block], ["id", "row_id"])
        ids[mine] = table["id"].to_numpy(zero_copy_only=False)[members["row"][mine]]
        rows[mine] = table["row_id"].to_numpy()[members["row"][mine]].astype(np.int64)
    return [str(one) for one in ids], rows


def _places_in(mine: Array, others: Array) -> Int64Array:
    """Return where each member is among the others, (n,) int64, -1 where it is not."""
    key = (others["block"].astype(np.int64) << 32) | others["row"].astype(np.int64)
    order = np.argsort(key, kind="stable")
    wanted = (mine["block"].astype(np.int64) << 32) | mine["row"].astype(np.int64)
    place = np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)
    return np.where(key[order][place] == wanted, order[place], -1)
