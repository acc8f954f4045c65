"""Level 1 as one k-means over the devices of several workers: each keeps its share of the rows for the whole level.

A worker reads its share from the blocks onto its own device. The loop runs in the driver (`device/parts_engine.py`): it
sends centroids and gets what clusters have, and at the end labels and distances.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from evenkeel.infra.compute import Compute
from evenkeel.infra.dtypes import Array
from evenkeel.infra.errors import ResourceError
from evenkeel.infra.memory import GIB
from evenkeel.infra.pinned import Pinned, WorkersLost, workers_of
from evenkeel.tasks.cluster.checkpoint import Checkpoint
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.resample import OnIteration, fit_rounds, opening_rng, options_of
from evenkeel.tasks.cluster.source import Source
from evenkeel.tasks.cluster.split import memory_of
from evenkeel.tasks.kmeans.cost import centroid_bytes
from evenkeel.tasks.kmeans.device.part import Place, Request
from evenkeel.tasks.kmeans.device.parts_engine import PartsEngine
from evenkeel.tasks.kmeans.fit import KMeans

ATTEMPTS = 3
PATIENCE = 600.0  # seconds to wait for workers


def devices_needed(rows: int, dimension: int, itemsize: int, k: int, config: ClusteringConfig) -> int | None:
    """Return how many devices of `memory_gib` hold one k-means of the rows; None where centroids alone do not fit."""
    room = config.memory_gib * GIB - min(k, rows) * centroid_bytes(dimension)
    return max(1, int(np.ceil(rows * memory_of(dimension, itemsize, config) / room))) if room > 0 else None


def devices_together(
    rows: int, dimension: int, itemsize: int, k: int, config: ClusteringConfig, compute: Compute
) -> int | None:
    """Return how many devices one k-means of the rows takes, None where it is not to be one over several.

    It is where one does not suffice, and those of all workers do.
    """
    if compute.devices < 2:
        return None
    needed = devices_needed(rows, dimension, itemsize, k, config)
    return needed if needed is not None and 1 < needed <= compute.devices else None


@dataclass(frozen=True)
class Piece:
    """Kept rows first..last of a block."""

    block: str
    first: int
    last: int


def shares_of(names: Sequence[str], sizes: Sequence[int], shares: int) -> list[tuple[Piece, ...]]:
    """Return the rows of each share, consecutive ones, as many as of any other or one less; sizes: of the blocks."""
    ends = np.cumsum(sizes)
    cuts = sorted({int(ends[-1]) * share // shares for share in range(shares + 1)})  # none is empty
    found = []
    for low, high in pairwise(cuts):
        pieces = [
            Piece(name, max(low, int(end) - size) - int(end) + size, min(high, int(end)) - int(end) + size)
            for name, end, size in zip(names, ends, sizes, strict=True)
            if size and end > low and end - size < high
        ]
        found.append(tuple(pieces))
    return found


class Blocks:
    """The rows of a share, read by slices, from one block at a time."""

    def __init__(self, source: Source, pieces: Sequence[Piece]) -> None:
        self.source, self.pieces = source, pieces
        self.ends = np.cumsum([piece.last - piece.first for piece in pieces])
        self.shape, self.dtype = (int(self.ends[-1]), source.dimension), source.dtype
        self._block: tuple[str, Array] | None = None

    def __getitem__(self, span: slice, /) -> Array:
        """Return rows span.start..span.stop."""
        first, last, _ = span.indices(self.shape[0])
        found = []
        for piece, end in zip(self.pieces, self.ends.tolist(), strict=True):
            begin = end - piece.last + piece.first
            low, high = max(first, begin), min(last, end)
            if low < high:
                found.append(self._read(piece.block)[piece.first + low - begin : piece.first + high - begin])
        return found[0] if len(found) == 1 else np.concatenate([np.empty((0, self.shape[1]), self.dtype), *found])

    def _read(self, block: str) -> Array:
        if self._block is None or self._block[0] != block:
            self._block = (block, self.source.read(block))
        return self._block[1]


class WorkerPlaces:
    """Places on Dask workers, as `parts.Places` asks."""

    def __init__(self, pinned: Pinned, make: Callable[[Any], Place], shares: Sequence[Any]) -> None:
        """Have each worker make its place. Raises WorkersLost as every call does."""
        self.pinned = pinned
        pinned.make(make, shares)
        self.sizes: list[int] = pinned.each(_rows, shares)

    def each(self, requests: Sequence[Request | None], shared: tuple[Any, ...]) -> list[Any]:
        """Return what each place returns."""
        return self.pinned.each(Place.do, requests, shared)

    def add(self, requests: Sequence[Request | None], shared: tuple[Any, ...]) -> list[Array]:
        """Return the sums of the arrays that places return."""
        return list(self.pinned.merge(Place.do, requests, shared, _added))


@dataclass(frozen=True)
class Opener:
    """Makes the place of a share of the rows."""

    source: Source

    def __call__(self, pieces: tuple[Piece, ...]) -> Place:
        """Read the rows onto the device of this process."""
        return Place(Blocks(self.source, pieces))


def fit_together(
    source: Source,
    sizes: Sequence[int],
    k: int,
    config: ClusteringConfig,
    seed: int,
    compute: Compute,
    needed: int,
    on_iteration: OnIteration | None = None,
    checkpoint: Checkpoint | None = None,
    max_rows: int | None = None,
) -> KMeans:
    """Cluster the kept rows of a pool as `fit_level` does, over the devices of all workers; sizes: rows of the blocks.

    Where a worker is lost the level starts again on those that are left, from what the checkpoint has. needed: how many
    devices hold the rows. Raises ResourceError where so many are not there, and after the third loss.
    """
    opener = Opener(source)

    def shares(workers: int) -> list[tuple[Piece, ...]]:
        return shares_of(source.names, sizes, workers)

    def fit(places: WorkerPlaces) -> KMeans:
        engine = PartsEngine.open(places, k, options_of(config), opening_rng(seed), compute.products)
        return fit_rounds(engine, k, config, seed, on_iteration, checkpoint, max_rows)

    return on_workers(compute, needed, opener, shares, fit)


def on_workers(
    compute: Compute,
    needed: int,
    make: Callable[[Any], Place],
    shares: Callable[[int], Sequence[Any]],
    fit: Callable[[WorkerPlaces], KMeans],
) -> KMeans:
    """Return what is fitted on places of the workers that are there, again on those that are left where one is lost.

    make: makes the place of a share. shares: those for so many workers.
    """
    client = compute.client
    assert client is not None
    lost: list[str] = []
    for _ in range(ATTEMPTS):
        addresses = workers_of(client, needed, PATIENCE)[: compute.workers]
        parts = shares(len(addresses))
        pinned = Pinned(client, addresses[: len(parts)])
        try:
            return fit(WorkerPlaces(pinned, make, parts))
        except WorkersLost as error:
            lost.append(str(error))
        finally:
            pinned.close()
    raise ResourceError(
        "workers with a device are lost again and again while level 1 is clustered",
        found="; ".join(lost),
        where="compute",
        remedy="see the logs of the workers for why they end; where it is memory, lower clustering.memory_gib",
    )


def _rows(place: Place, item: object, shared: tuple[Any, ...]) -> int:
    return place.rows


def _added(left: Sequence[Array], right: Sequence[Array]) -> list[Array]:
    return [one + other for one, other in zip(left, right, strict=True)]
