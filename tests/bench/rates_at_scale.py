"""The parts whose cost for a row depends on the size of the pool, each measured at the sizes that a billion rows have.

Vectors and blocks are those of a finished run; groups, cells and centroids are as many as the plan of a billion rows
says, on fewer rows.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array, write_array
from evenkeel.infra.sections import write_sections
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.levels import derive_levels
from evenkeel.tasks.cluster.source import Source
from evenkeel.tasks.cluster.split import (
    SAMPLE_PER_GROUP,
    GroupPlan,
    SplitLevel,
    fit_group,
    group_count,
    rows_that_fit,
    run_file,
    split_run,
)
from evenkeel.tasks.dedup import cells, semantic
from evenkeel.tasks.dedup.drops import Drops
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.gathered import Batch
from evenkeel.tasks.embed.post import normalise
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.kmeans.bounds import bound_sizes
from evenkeel.tasks.kmeans.cost import k_means_seconds
from evenkeel.tasks.kmeans.engine import open_engine
from evenkeel.tasks.kmeans.fit import kmeans
from evenkeel.tasks.kmeans.index import CentroidIndex
from evenkeel.tasks.kmeans.options import Device, Options
from evenkeel.tasks.kmeans.ward import EXACT_UP_TO, GROUP_SIZE, GROUPING, ward_labels
from tests.bench.bench_blocks import cpu_seconds, most_memory
from tests.bench.rates_pool import NOISE, Mixture

BILLION = 10**9
THREADS = 2
FEW_LEAVES, MANY_LEAVES = 1 << 13, 1 << 16  # of which rows find the nearest: the cost goes with their root
FEW_MERGED, MANY_MERGED = 12_000, 24_000
PART_OF_CELLS = 16  # the sample that cells are fitted on is this many times smaller, and so are the cells


@dataclass
class Part:
    """What a part took: CPU-seconds for some rows (or centroids), the sizes it was measured at, and most memory."""

    seconds: float = 0.0
    rows: int = 0
    sizes: dict[str, float] = field(default_factory=dict)
    memory: int = 0


@dataclass(frozen=True)
class Shape:
    """How so many rows are clustered by the defaults: groups, leaves, and cells of semantic duplicates."""

    rows: int
    dimension: int
    groups: int
    leaves: int
    cells: int

    @classmethod
    def of(cls, rows: int, dimension: int, config: ClusteringConfig | None = None) -> "Shape":
        """Return what the code decides for so many float32 vectors."""
        leaves = derive_levels(rows)[0]
        groups = group_count(rows, dimension, 4, leaves, config or ClusteringConfig())
        wanted = max(1, min(rows // cells.MIN_ROWS_PER_CELL, int(rows**0.5), cells.MAX_CELLS))
        return cls(rows, dimension, groups, leaves, wanted)

    @property
    def group_rows(self) -> int:
        """Rows of a group on average."""
        return self.rows // self.groups

    @property
    def group_leaves(self) -> int:
        """Leaves of a group on average."""
        return max(1, self.leaves // self.groups)

    @property
    def cell_rows(self) -> int:
        """Rows of a cell on average."""
        return self.rows // self.cells


@contextmanager
def taken(parts: dict[str, Part], name: str, rows: int, **sizes: float) -> Iterator[None]:
    """Measure a part under a name."""
    most_memory()
    begun = cpu_seconds()
    yield
    parts[name] = Part(cpu_seconds() - begun, rows, sizes, most_memory())
    print(f"{time.strftime('%H:%M:%S')} {name}: {parts[name].seconds:.1f} CPU-s, {rows:,} rows {sizes}", flush=True)


def measure_parts(refs: dict[str, Any], folder: Path, shape: Shape) -> dict[str, Part]:
    """Measure every part. refs: ingest and embed of a pool of `rates_pool`. folder: for what is written."""
    steps = {name: StepRef.model_validate(refs[name]) for name in ("ingest", "embed")}
    Drops.none().write(str(folder / "none"))
    pool, vectors = Pool.open(steps["ingest"], folder), Vectors.open(steps["embed"], folder)
    source = Source(pool, vectors, Duplicates.open(str(folder / "none")))
    parts: dict[str, Part] = {}
    measures: list[Callable[[dict[str, Part], Source, Path, Shape], None]] = [
        _split,
        _groups,
        _labels,
        _upper,
        _cells,
        _compare,
    ]
    for measure in measures:
        measure(parts, source, folder, shape)
        gc.collect()
    return parts


def _level(source: Source, folder: Path, name: str, **changed: Any) -> SplitLevel:
    out = folder / name
    return SplitLevel(source, ClusteringConfig(**changed), 1, str(out / "parts"), str(out), folder / "scratch")


def _split(parts: dict[str, Part], source: Source, folder: Path, shape: Shape) -> None:
    """Sort rows by the nearest of as many groups as there are; fit these on a sample."""
    level, rng = _level(source, folder, "split"), np.random.default_rng(0)
    x = np.concatenate([source.read(block) for block in source.names[:24]])
    groups = x[rng.choice(len(x), shape.groups, replace=len(x) < shape.groups)]
    write_array(level.path("groups.npy"), np.asarray(groups, np.float32))
    run = tuple(source.names[:4])
    rows = sum(source.count(block) for block in run)
    with taken(parts, "split: sort by group", rows, groups=shape.groups), threadpool_limits(1):
        split_run(level, (0, run))
    rows = min(len(x), 8 * shape.groups)
    with taken(parts, "split: fit groups", rows, groups=shape.groups):
        kmeans(x[:rows], shape.groups, seed=0, threads=THREADS)


def measure_sample(folder: Path, shape: Shape) -> Part:
    """Fit all groups on a sample as large as the driver takes of so many rows, from the files that workers leave."""
    config = ClusteringConfig()
    rows = min(SAMPLE_PER_GROUP * shape.groups, rows_that_fit(shape.groups, shape.dimension, 4, config))
    x = _centroids(rows, shape.dimension, NOISE)
    files = [str(folder / f"{number}.npy") for number in range(16)]
    for file, part in zip(files, np.array_split(x, len(files)), strict=True):
        write_array(file, part)
    del x
    gc.collect()
    parts: dict[str, Part] = {}
    with taken(parts, "split: fit groups on the whole sample", rows, groups=shape.groups):
        sample = np.concatenate([read_array(file) for file in files])
        kmeans(sample, shape.groups, Options(metric=config.metric), seed=0, threads=THREADS)
    return parts.popitem()[1]


def _groups(parts: dict[str, Part], source: Source, folder: Path, shape: Shape) -> None:
    """Cluster one group as large as they are on average, read from the file of a run; and variants of the recipe."""
    x = _centroids(shape.group_rows, shape.dimension, NOISE)
    variants = {
        "group: k-means": (len(x), {}),
        "group: k-means, resampling 0": (len(x), {"resampling": 0}),
        "group: k-means, a quarter of the rows": (len(x) // 4, {}),
    }
    for name, (rows, changed) in variants.items():
        level = _level(source, folder, "group", **changed)
        write_sections(level.path(run_file(0)), [x[:rows].reshape(-1).view(np.uint8).data])
        leaves = max(1, rows * shape.group_leaves // shape.group_rows)
        with taken(parts, name, rows, leaves=leaves), threadpool_limits(1):
            fit_group(level, GroupPlan([leaves], None, [rows], 1), 0)
        storage.remove(str(folder / "group"))


def _labels(parts: dict[str, Part], source: Source, folder: Path, shape: Shape) -> None:
    """Index leaves of two numbers, and find the nearest of rows that begin at one near them, as groups give it."""
    x = np.concatenate([source.read(block) for block in source.names[:4]])
    for leaves in (FEW_LEAVES, MANY_LEAVES):
        centroids = _centroids(leaves, shape.dimension)
        with taken(parts, f"label: index of {leaves:,} leaves", leaves):
            index = CentroidIndex.build(centroids, "euclidean", 1, THREADS)
            neighbours = index.neighbours(THREADS)
        del centroids
        near, _ = index.nearest(x)
        with taken(parts, f"label: rows, {leaves:,} leaves", len(x), leaves=leaves):
            index.nearest_from(x, near, neighbours)


def _upper(parts: dict[str, Part], source: Source, folder: Path, shape: Shape) -> None:
    """Merge centroids of two numbers within groups, and part them into groups alone."""
    for count in (FEW_MERGED, MANY_MERGED):
        x, rng, groups = _centroids(count, shape.dimension), np.random.default_rng(0), -(-count // GROUP_SIZE)
        with taken(parts, f"upper: {count:,} leaves", count, groups=groups):
            ward_labels(x, np.ones(count), EXACT_UP_TO, Device(THREADS), 0)
        with taken(parts, f"upper: parting {count:,} leaves", count, groups=groups):
            engine = open_engine(x, groups, GROUPING, rng, device=Device(THREADS))
            bound_sizes(engine, engine.fit(engine.seed(groups, "random", rng), GROUPING, rng), EXACT_UP_TO // 2, rng)


def _cells(parts: dict[str, Part], source: Source, folder: Path, shape: Shape) -> None:
    """Place rows in as many cells as there are, and fit cells on a sample that is so many times smaller."""
    x = np.concatenate([source.read(block) for block in source.names[:20]])
    rows, wanted = shape.cells * cells.ROWS_TO_FIT_A_CELL // PART_OF_CELLS, shape.cells // PART_OF_CELLS
    sample = normalise(x[:rows])
    with taken(parts, "semantic: fit cells", len(sample), cells=wanted), threadpool_limits(1):
        kmeans(sample, wanted, cells.CELLS, seed=0, device=Device(threads=THREADS))
    centroids = normalise(_centroids(shape.cells, shape.dimension))
    with taken(parts, "semantic: place", 5_000, cells=shape.cells), threadpool_limits(1):
        cells._place(x[:5_000], centroids)


def _compare(parts: dict[str, Part], source: Source, folder: Path, shape: Shape) -> None:
    """Compare the rows of one cell as large as they are on average."""
    x = np.concatenate([source.read(block) for block in source.names[:10]])[: shape.cell_rows]
    members = np.zeros(len(x), cells.MEMBER)
    members["row"] = np.arange(len(x))
    made = cells.Cells(source.pool, source.vectors, str(folder / "cells"), folder / "scratch", (len(x),))
    batch = Batch(made, members, lambda some: x[some["row"]])
    with taken(parts, "semantic: compare", len(x), cell=len(x)), threadpool_limits(1):
        semantic._thin(batch, members, np.float32(0.95))


def _centroids(count: int, dimension: int, noise: float = 0.1) -> Any:
    """Return rows of a mixture, near to its components as centroids are: each as likely as the others."""
    mixture, rng = Mixture(dimension), np.random.default_rng(3)
    found = np.empty((count, dimension), np.float32)
    for first in range(0, count, 1 << 14):
        part = found[first : first + (1 << 14)]
        part[:] = mixture.centres[rng.integers(0, len(mixture.centres), len(part))]
        part += np.float32(noise) * rng.standard_normal(part.shape, dtype=np.float32)
    return found


def grouping_growth(few: float, many: float, dimension: int) -> float:
    """Return how many times the parting of `many` points into groups of 2,000 costs that of `few`."""
    return k_means_seconds(many, many / GROUP_SIZE, dimension) / k_means_seconds(few, few / GROUP_SIZE, dimension)
