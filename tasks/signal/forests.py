"""The isolation forests of a pool: one for all rows, or one for every group, grown on the workers and kept in files."""

from collections.abc import Mapping
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, read_array, write_array
from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.tasks.signal.groups import count_groups, read_groups
from evenkeel.tasks.signal.isolation import Forest, fit_forest, isolation
from evenkeel.tasks.signal.sample import sample_rows, vectors_of
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run

FEWEST, MOST, ALL, ROWS_PER_TASK = 8, 8192, 1 << 18, 1 << 15
ROWS_PER_CHUNK = 8192
PARTS = ("dimension", "threshold", "left", "length")


def grow_forests(
    source: SignalSource, within: str, trees: int, contamination: float | None, seed: int, folder: str, run: Run
) -> Mapping[str, object]:
    """Grow a forest on a sample of every group's rows, and write them to files of several groups each.

    A group of fewer than eight rows has none. contamination: the score that so many sampled rows of a group exceed is
    its offset, 0 where it is None. Returns facts.
    """
    groups = len(count_groups(source, within, folder, run).values)
    chosen = sample_rows(source, folder, max(256, min(MOST, ALL // max(groups, 1))), seed, run)
    starts = np.searchsorted(chosen["group"], np.arange(groups + 1)).astype(np.int64)
    edges = _edges(starts)
    write_array(storage.join(folder, "chosen.npy"), chosen)
    write_array(storage.join(folder, "edges.npy"), edges)
    tasks = [(first, int(starts[first]), int(starts[last])) for first, last in pairwise(edges.tolist())]
    grow = partial(_grow, source, trees, contamination, seed, folder)
    run.compute.map(grow, tasks, work=len(chosen) * source.vectors.dimension * 4)
    return {"groups": groups, "small_groups": int((np.diff(starts) < FEWEST).sum())}


def isolation_of_block(source: SignalSource, within: str, folder: str, scratch: str, block: str) -> Float64Array:
    """Return the scores of the rows of a block less the offset of their group, (n,) float64; NaN without a forest."""
    vectors = source.vectors.block(block)
    codes = np.zeros(len(vectors), np.int32)
    if within:
        codes = read_groups(folder).codes(source.columns(block, [within]))
    values = np.full(len(vectors), np.nan)
    edges = read_array(storage.join(folder, "edges.npy"))
    for group in np.unique(codes):
        first = int(edges[np.searchsorted(edges, group, side="right") - 1])
        forest, offset = _open(folder, scratch, first).get(int(group), (None, 0.0))
        if forest is None:
            continue
        rows = np.flatnonzero(codes == group)
        for start in range(0, len(rows), ROWS_PER_CHUNK):
            part = rows[start : start + ROWS_PER_CHUNK]
            values[part] = isolation(forest, np.ascontiguousarray(vectors[part], np.float32)) - offset
    return values


def _edges(starts: Int64Array) -> Int64Array:
    """Cut the groups into ranges of about 32,768 sampled rows; return where they begin, and the number of groups."""
    edges = [0]
    for group in range(1, len(starts) - 1):
        if starts[group + 1] - starts[edges[-1]] > ROWS_PER_TASK:
            edges.append(group)
    return np.array([*edges, len(starts) - 1], np.int64)


def _grow(
    source: SignalSource, trees: int, contamination: float | None, seed: int, folder: str, task: tuple[int, int, int]
) -> None:
    """Grow and write the forests of the groups of some sampled rows; task: the first group, and where the rows are."""
    first, start, stop = task
    chosen = np.array(map_array(storage.join(folder, "chosen.npy"), Path(source.pool.scratch))[start:stop])
    grown: list[tuple[int, Forest, float]] = []
    for group in np.unique(chosen["group"]):
        x = vectors_of(source, chosen[chosen["group"] == group])
        if len(x) >= FEWEST:
            forest = fit_forest(x, trees, seed)
            offset = 0.0 if contamination is None else float(np.quantile(isolation(forest, x), 1 - contamination))
            grown.append((int(group), forest, offset))
    starts = np.cumsum([0, *(len(forest.dimension) for _, forest, _ in grown)])
    about = {
        "trees": trees,
        "groups": [group for group, _, _ in grown],
        "offsets": [offset for _, _, offset in grown],
        "starts": starts.tolist(),
    }
    for part in PARTS:
        empty = np.empty(0, np.float32 if part in ("threshold", "length") else np.int32)
        arrays = [np.asarray(getattr(forest, part)) for _, forest, _ in grown]
        write_array(storage.join(folder, f"{part}-{first}.npy"), np.concatenate([empty, *arrays]))
    storage.write_json(storage.join(folder, f"forests-{first}.json"), about)


@lru_cache(maxsize=16)
def _open(folder: str, scratch: str, first: int) -> Mapping[int, tuple[Forest, float]]:
    """Return the forests in the files that begin with a group, memory-mapped, and their offsets, by group."""
    about = storage.read_json(storage.join(folder, f"forests-{first}.json"))
    arrays = [map_array(storage.join(folder, f"{part}-{first}.npy"), Path(scratch)) for part in PARTS]
    found = {}
    for place, (group, offset) in enumerate(zip(about["groups"], about["offsets"], strict=True)):
        part = slice(about["starts"][place], about["starts"][place + 1])
        nodes = (part.stop - part.start) // about["trees"]
        roots = np.arange(0, part.stop - part.start, nodes, dtype=np.int32)
        dimension, threshold, left, length = (array[part] for array in arrays)
        found[int(group)] = Forest(dimension, threshold, left, length, roots), float(offset)
    return found
