"""What sources are worth: how much nearer to a target their rows would bring what one has, and at what cost in rows.

Sources are compared by optimal transport between histograms of clusters, which predicts what a mixture of them teaches
(projektor, Kang et al. 2023, arXiv 2307.02460), and by how much of them is new beside what is there (relevance and
diversity of a data market, as in graph valuation). Only counts of clusters travel, never rows.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from evenkeel.infra.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.distance.measures import EPSILON
from evenkeel.tasks.ingest.columns import NO_GROUP
from evenkeel.tasks.measure.histograms import MOST_CLUSTERS, share_of
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.signal.toward.sinkhorn import squared_distances, transport
from evenkeel.tasks.versions.row_sets import Frame

MOST_CLUSTERS_COMPARED = 256
SEARCHED = 8  # steps of the search for the best share of rows, to a fiftieth of it


class Worth(BaseModel):
    """What one source is worth.

    rows: it has. distance: of its rows alone to the target. added: of its rows, drawn at random, that bring what one
    has nearest to the target. with_them: the distance then. worth: how much nearer that is, as a share of the distance
    before. new: the share of its rows that lie where what one has holds none in its place. clusters: the effective
    number of clusters it spreads over, as many equal ones.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    rows: int
    distance: float
    added: int
    with_them: float
    worth: float
    new: float
    clusters: float


class Valuation(BaseModel):
    """The sources, the most worth first. held: what one has, its rows and its distance to the target; 0 for nothing."""

    model_config = ConfigDict(frozen=True)

    held: str
    held_rows: int
    before: float
    target_rows: int
    sources: list[Worth]


def value(
    frame: Frame,
    sources: Mapping[str, Int64Array],
    wanted: Int64Array,
    held: tuple[str, Int64Array],
    rows: int | None = None,
) -> Valuation:
    """Return what sources are worth towards a target, all as rows of the leaves, (leaves,) int64.

    held: the name and rows of what one has already. rows: to add of a source at most; None: as many as serve.
    Raises InputError where every level of clusters has more than 1,024.
    """
    cluster, centroids = _clusters(frame)
    lift = partial(_lifted, cluster, len(centroids))
    cost, aim = squared_distances(centroids, centroids), share_of(lift(wanted))

    def distance(counts: Float64Array) -> float:
        return transport(counts / counts.sum(), aim, cost, EPSILON).cost

    name, base = held[0], lift(held[1])
    empty = not base.sum()
    # without anything held, a source is compared with the pool, which is what one gets by drawing at random
    before = distance(lift(frame.hierarchy.levels[0].counts) if empty else base)
    found = []
    for source, leaves in sources.items():
        counts = lift(leaves)
        shares, most = share_of(counts), int(counts.sum() if rows is None else min(counts.sum(), rows))
        added, nearest = _nearest(base, shares, most, distance)
        new = 1.0 if empty else float(np.abs(shares - share_of(base)).sum() / 2)
        there = shares[shares > 0]
        found.append(
            Worth(
                name=source,
                rows=int(counts.sum()),
                distance=distance(counts),
                added=added,
                with_them=nearest,
                worth=(before - nearest) / before if before > 0 else 0.0,
                new=new,
                clusters=float(np.exp(-(there * np.log(there)).sum())),
            )
        )
    found.sort(key=lambda one: (-one.worth, one.distance, one.name))
    return Valuation(held=name, held_rows=int(base.sum()), before=before, target_rows=int(wanted.sum()), sources=found)


def counts_by_value(frame: Frame, column: str, values: Sequence[str]) -> dict[str, Int64Array]:
    """Return the rows of the pool in each leaf for some values of a column, `group.<name>` or `shard`.

    One array of (values, leaves) int64 is in memory, and one for each worker.
    """
    counting = partial(_count_values, frame.rows, column, tuple(values), frame.hierarchy.leaves)
    found = frame.run.compute.reduce(counting, np.add, frame.rows.blocks, work=frame.rows.pool.rows * 24)
    if found is None:
        found = np.zeros((len(values), frame.hierarchy.leaves), np.int64)
    return {one: found[place] for place, one in enumerate(values) if found[place].any()}


def _nearest(
    base: Float64Array, shares: Float64Array, most: int, distance: Callable[[Float64Array], float]
) -> tuple[int, float]:
    """Return how many rows of a source, at most `most`, bring what one has nearest to the target, and the distance.

    Transport is convex in the mixture, so the share of added rows is found by a golden-section search.
    """
    held = base.sum()
    if not held:
        return most, distance(shares)

    def mixed(part: float) -> float:
        return distance((1 - part) * base / held + part * shares)

    low, high = 0.0, most / (held + most)
    ratio = (5**0.5 - 1) / 2
    points = [high - ratio * (high - low), low + ratio * (high - low)]
    heights = [mixed(one) for one in points]
    for _ in range(SEARCHED):
        if heights[0] <= heights[1]:
            high, points[1], heights[1] = points[1], points[0], heights[0]
            points[0] = high - ratio * (high - low)
            heights[0] = mixed(points[0])
        else:
            low, points[0], heights[0] = points[0], points[1], heights[1]
            points[1] = low + ratio * (high - low)
            heights[1] = mixed(points[1])
    ends = {0.0: mixed(0.0), most / (held + most): mixed(most / (held + most)), points[0]: heights[0]}
    part = min(ends, key=lambda one: (ends[one], one))
    return round(held * part / (1 - part)), ends[part]


def _count_values(rows: CandidateRows, column: str, values: tuple[str, ...], leaves: int, block: str) -> Int64Array:
    table = rows.table(block, [column])
    told = pc.fill_null(table[column].cast(pa.string()), NO_GROUP).combine_chunks()
    place = pc.index_in(told, pa.array(values, pa.string())).fill_null(-1).to_numpy(zero_copy_only=False)
    there = place >= 0
    flat = place[there].astype(np.int64) * leaves + table["leaf"].to_numpy()[there]
    return np.bincount(flat, minlength=len(values) * leaves).reshape(len(values), leaves).astype(np.int64)


def _clusters(frame: Frame) -> tuple[Int32Array, Float32Array]:
    sizes = [one.clusters for one in frame.hierarchy.levels]
    level = next((number for number, size in enumerate(sizes, 1) if size <= MOST_CLUSTERS_COMPARED), len(sizes))
    if sizes[level - 1] > MOST_CLUSTERS:
        raise InputError(
            "there are too many clusters to value sources by",
            expected=f"a level with at most {MOST_CLUSTERS:,} clusters",
            found=f"the coarsest has {sizes[-1]:,}",
            where="clustering.levels",
            remedy="add a level, such as levels: [5000, 500]",
        )
    return frame.hierarchy.ancestors(level), frame.hierarchy.levels[level - 1].centroids


def _lifted(cluster: Int32Array, clusters: int, counts: Int64Array) -> Float64Array:
    found: Float64Array = np.bincount(cluster, counts, clusters).astype(np.float64)
    return found
