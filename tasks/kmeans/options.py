"""What a k-means is asked to do, what it reports while it runs, and the state that it can go on from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from evenkeel.infra.dtypes import Float32Array, Int32Array

Metric = Literal["euclidean", "cosine"]
Precision = Literal["fast", "exact"]
Products = Literal["float32", "tf32", "tf32x3"]
Seeding = Literal["auto", "random", "k-means++", "grouped"]
SAVE_EVERY = 4


@dataclass(frozen=True)
class Options:
    """How to cluster.

    iterations: most Lloyd iterations. tolerance: stop when the inertia falls by less than this share. precision: fast =
    neighbour-pruned Lloyd, exact = every row against every centroid. metric: cosine = rows and centroids on the unit
    sphere, distances measured there. seeding: auto = grouped on the fast path, k-means++ on the exact one.
    """

    iterations: int = 12
    tolerance: float = 3e-4
    precision: Precision = "fast"
    metric: Metric = "euclidean"
    seeding: Seeding = "auto"


DEFAULTS = Options()


@dataclass(frozen=True)
class Device:
    """Where a k-means runs.

    threads: None = all cores; the result is the same with any number. gpu: on a CUDA device. products: how exact its
    matrix products are; rankings are settled in float32, so the result is the same with any.
    """

    threads: int | None = None
    gpu: bool = False
    products: Products = "tf32"


CPU = Device()


class Iteration(NamedTuple):
    """What one iteration did.

    number: from 1. rows_moved: rows that changed cluster. centroids_moved: centroids that were put elsewhere.
    """

    number: int
    inertia: float
    rows_moved: int
    centroids_moved: int


@dataclass(frozen=True)
class FitState:
    """Where a fit stands after `iterations` iterations: all that the next ones follow from.

    centroids: (k, d). labels: (n,). inertia: of the last iteration. misassigned: share of rows that the last repair
    moved. random: state of the bit generator, empty where none is used.
    """

    iterations: int
    centroids: Float32Array
    labels: Int32Array
    inertia: float
    misassigned: float
    random: Mapping[str, object]


@dataclass(frozen=True)
class Hooks:
    """How a fit is followed, saved and resumed.

    on_iteration: called after every iteration. on_state: called with the state after every fourth iteration, where
    `due` is None or says so: labels come home for it. resume: the state to go on from.
    """

    on_iteration: Callable[[Iteration], object] | None = None
    on_state: Callable[[FitState], object] | None = None
    resume: FitState | None = None
    due: Callable[[], bool] | None = None

    def save_after(self, iteration: int) -> Callable[[FitState], object] | None:
        """Return what the state after an iteration is to be given to, None where it is not asked for."""
        return self.on_state if iteration % SAVE_EVERY == 0 and (self.due is None or self.due()) else None


NO_HOOKS = Hooks()


class Fit(NamedTuple):
    """Centroids, (k, d) float32, the nearest of them to every row, (n,) int32, and how many iterations ran."""

    centroids: Float32Array
    labels: Int32Array
    iterations: int
