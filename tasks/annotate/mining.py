"""Search negatives of every kept row: near rows by vectors, from its leaf and the leaves next to it, past a guard.

Sources: hard negatives that are not false ones by a guide (GISTEmbed, arXiv 2402.16829); static hard negatives with
some random ones (STAR, arXiv 2104.08051).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, read_array, write_array
from evenkeel.infra.dtypes import Array, BoolArray, Float32Array, Float64Array, Int64Array, UInt64Array
from evenkeel.infra.errors import InputError
from evenkeel.infra.hashing import hash_identities, uniform
from evenkeel.tasks.annotate.guide import dimensions
from evenkeel.tasks.annotate.kept import KeptSource
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.ingest.named import read_named
from evenkeel.tasks.signal.neighbours.cells import Cells, OpenCells, make_cells
from evenkeel.tasks.step import Run

MAX_COMPARED = 1024
AT_ONCE = 256
RANDOM_FROM = 1 << 14
SEED = 0x4E45


@dataclass(frozen=True)
class Guard:
    """Keeps rows from being negatives that a guide holds nearer to the query than its positive, less a margin.

    query, positive, negative: columns of the guide's vectors; negative: of a row where it is another's negative.
    """

    query: str
    positive: str
    negative: str
    margin: float


@dataclass(frozen=True)
class Mining:
    """How negatives are searched. near, random: how many of each. folder: of the guide's vectors and what is found."""

    cells: Cells
    near: int
    random: int
    guard: Guard | None
    folder: str
    seed: int


def mine(
    source: AnnotationSource, near: int, random: int, guard: Guard | None, folder: str, seed: int, run: Run
) -> dict[str, object]:
    """Write the negatives of every kept row for `negatives_of`; return how many were found and turned away.

    Raises InputError where the guide's vectors are not of one dimension, or no vectors at all.
    """
    kept = KeptSource.of(source, source.row_ids)
    work = source.pool.rows * kept.vectors.dimension * 4
    if guard is not None:
        for column in dict.fromkeys([guard.query, guard.positive, guard.negative]):
            sizes = run.compute.map(partial(write_guide, source, column, folder), source.blocks, work=work)
            require_one_dimension(sizes, column, source)
        _require_equal(guard, folder, source)
    cells = make_cells(kept, folder, run, metric="cosine", label="", clusters=True)
    sample = run.compute.reduce(
        partial(_sample, source, RANDOM_FROM / max(source.kept_rows, 1)), _joined, source.blocks, work=work
    )
    write_array(storage.join(folder, "random.npy"), np.empty(0, np.uint64) if sample is None else sample)
    mining = Mining(cells, near, random, guard, folder, seed)
    with threadpool_limits(1):
        found = run.compute.map(partial(_mine_batch, mining), cells.batches(), work=work)
    return {
        "negatives": sum(one[0] for one in found),
        "turned_away": sum(one[1] for one in found),
        "mean_similarity": round(sum(one[2] for one in found) / max(1, sum(one[3] for one in found)), 6),
        "files": len(found),
    }


def negatives_of(source: AnnotationSource, block: str, width: int, folder: str, files: int) -> Int64Array:
    """Return the row ids of the negatives of the kept rows of a block, (n, width) int64, -1 for none."""
    number = source.blocks.index(block)
    ids = source.pool.table(block, ["row_id"])["row_id"].to_numpy()
    found = np.full((len(ids), width), -1, np.int64)
    for file in range(files):
        rows = map_array(storage.join(folder, f"rows-{file}.npy"), Path(source.pool.scratch))
        start, stop = np.searchsorted(rows["block"], [number, number + 1])
        if stop > start:
            negatives = map_array(storage.join(folder, f"negatives-{file}.npy"), Path(source.pool.scratch))
            found[rows["row"][start:stop]] = negatives[start:stop]
    return found[np.searchsorted(ids, source.row_ids(block))]


def write_guide(source: AnnotationSource, column: str, folder: str, block: str) -> tuple[int, int]:
    """Write the unit vectors of a column of a block, (n, d) float32; return the least and the greatest dimension."""
    lists = read_named(source.pool, block, [column], source.where)[column].combine_chunks()
    if (ends := dimensions(lists)) is None:
        raise InputError(
            f"the column {column!r} holds no vectors",
            expected="lists of floats, one a row",
            found=str(lists.type),
            where=source.where,
            remedy="name the column with the vectors of the guide",
        )
    least, greatest = ends
    if least == greatest and least > 0:
        x = pc.list_flatten(lists).to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(lists), least)
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.float32(1e-30))
        write_array(_guide_uri(folder, column, block), x)
    return least, greatest


def require_one_dimension(sizes: list[tuple[int, int]], column: str, source: AnnotationSource) -> None:
    """Raise InputError where the vectors of a column differ in dimension, or some row has none."""
    found = sorted({size for pair in sizes for size in pair if size >= 0})
    if len(found) > 1 or 0 in found:
        raise InputError(
            f"the vectors of the guide in {column!r} are not of one dimension",
            expected="the same in every row",
            found=f"{found[0]} to {found[-1]}",
            where=source.where,
            remedy="embed all rows with one model, or leave out those without a vector by a filter",
        )


def _require_equal(guard: Guard, folder: str, source: AnnotationSource) -> None:
    sizes = {
        column: np.shape(map_array(_guide_uri(folder, column, source.blocks[0]), Path(source.pool.scratch)))[1]
        for column in (guard.query, guard.positive, guard.negative)
    }
    if others := [f"{size} in {column!r}" for column, size in sizes.items() if size != sizes[guard.query]]:
        raise InputError(
            "the guide's vectors of queries, positives and negatives are of different dimensions",
            expected=f"{sizes[guard.query]}, as in {guard.query!r}",
            found=", ".join(others),
            where=source.where,
            remedy="embed both with the same guide",
        )


def _mine_batch(mining: Mining, batch: int) -> tuple[int, int, float, int]:
    """Write the negatives of the rows of consecutive leaves; return found, turned away, and their similarities."""
    cells, opened, near = mining.cells, mining.cells.open(), mining.cells.near()
    rows, negatives = [], [np.empty((0, mining.near + mining.random), np.int64)]
    turned, similar, counted = 0, 0.0, 0
    for cell in range(cells.edges[batch], cells.edges[batch + 1]):
        members = opened.members(cell)
        if not len(members):
            continue
        compared = _compared(opened, near[cell].tolist())
        x, ids = cells.rows(compared), cells.row_ids(compared)
        for start in range(0, len(members), AT_ONCE):
            part = members[start : start + AT_ONCE]
            own = cells.row_ids(part)
            cosine = cells.rows(part) @ x.T
            allowed = own[:, None] != ids[None]
            if mining.guard is not None:
                passed = _passes(mining, part, compared)
                turned += int((allowed & ~passed).sum())
                allowed &= passed
            chosen, similarity = _nearest(np.where(allowed, cosine, -np.inf), mining.near)
            found = np.where(chosen >= 0, ids[chosen].astype(np.int64), -1)
            similar, counted = similar + float(similarity[chosen >= 0].sum()), counted + int((chosen >= 0).sum())
            negatives.append(np.concatenate([found, _random(mining, part, own, found)], axis=1))
            rows.append(part)
    table = np.concatenate([np.empty(0, opened.members(cells.edges[batch]).dtype), *rows])
    written = np.concatenate(negatives)
    order = np.lexsort((table["row"], table["block"]))
    write_array(storage.join(mining.folder, f"rows-{batch}.npy"), table[order])
    write_array(storage.join(mining.folder, f"negatives-{batch}.npy"), written[order])
    return int((written >= 0).sum()), turned, similar, counted


def _compared(opened: OpenCells, near: list[int]) -> Array:
    """Return the rows of a leaf and those next to it, at most 1,024 of each by the hash of the id."""
    return np.concatenate([opened.members(other)[:MAX_COMPARED] for other in dict.fromkeys(near)])


def _passes(mining: Mining, queries: Array, others: Array) -> BoolArray:
    """Return which rows the guide lets be negatives of which queries, (n, m) bool."""
    assert mining.guard is not None
    query = _guide(mining, mining.guard.query, queries)
    own = np.einsum("nd,nd->n", query, _guide(mining, mining.guard.positive, queries))
    return np.asarray(query @ _guide(mining, mining.guard.negative, others).T <= own[:, None] - mining.guard.margin)


def _guide(mining: Mining, column: str, members: Array) -> Float32Array:
    parts = np.empty((len(members), 0), np.float32)
    for block in np.unique(members["block"]):
        mine = np.flatnonzero(members["block"] == block)
        uri = _guide_uri(mining.folder, column, mining.cells.source.blocks[block])
        x = map_array(uri, Path(mining.cells.source.pool.scratch))
        if not parts.shape[1]:
            parts = np.empty((len(members), x.shape[1]), np.float32)
        parts[mine] = x[members["row"][mine]]
    return parts


def _nearest(cosine: Float32Array, wanted: int) -> tuple[Int64Array, Float64Array]:
    """Return the places of the largest of every row, (n, wanted) int64 with -1 for none, and their values."""
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :wanted]
    value = np.take_along_axis(cosine, order, 1).astype(np.float64)
    places = np.where(np.isfinite(value), order, -1)
    short = wanted - places.shape[1]
    if short > 0:
        places = np.pad(places, ((0, 0), (0, short)), constant_values=-1)
        value = np.pad(value, ((0, 0), (0, short)), constant_values=-np.inf)
    return places.astype(np.int64), value


def _random(mining: Mining, members: Array, own: UInt64Array, near: Int64Array) -> Int64Array:
    """Return random rows of the version for every row, (n, random) int64, none of them itself or a near negative."""
    found = np.full((len(members), mining.random), -1, np.int64)
    among = read_array(storage.join(mining.folder, "random.npy")) if mining.random else np.empty(0, np.uint64)
    tries = np.full(len(members), 0)
    for place in range(mining.random):
        for _ in range(8):
            lacking = np.flatnonzero(found[:, place] < 0)
            if not len(lacking) or not len(among):
                break
            tries[lacking] += 1
            drawn = hash_identities(mining.seed + SEED, members["identity"][lacking] + tries[lacking].astype(np.uint64))
            row = among[(drawn % np.uint64(len(among))).astype(np.int64)].astype(np.int64)
            taken = (row[:, None] == near[lacking]).any(axis=1) | (row[:, None] == found[lacking]).any(axis=1)
            found[lacking, place] = np.where(taken | (row == own[lacking].astype(np.int64)), -1, row)
    return found


def _sample(source: AnnotationSource, share: float, block: str) -> UInt64Array:
    table = source.kept(block)
    kept = uniform(SEED, table["identity"].to_numpy()) < share
    return np.asarray(table["row_id"].to_numpy()[kept], np.uint64)


def _joined(one: UInt64Array, other: UInt64Array) -> UInt64Array:
    return np.concatenate([one, other])


def _guide_uri(folder: str, column: str, block: str) -> str:
    return storage.join(folder, f"guide-{column}", f"{block}.npy")
