"""The fast iteration, written once for every device: rank, count the error, relocate, repair, move to the means.

What a device does differently, which is to find the three nearest centroids of every row, is a `RankedSearch`:
`pruned.PrunedSearch` compares a row with the neighbours of its centroid, `device.search.DeviceSearch` with all.
"""

from typing import Protocol

import numpy as np

from evenkeel.infra.dtypes import Array, Float32Array, Int32Array, Int64Array
from evenkeel.tasks.kmeans.options import SAVE_EVERY, Fit, FitState, Hooks, Iteration, Options

REPAIR_AT = 4
MISASSIGNED = 0.01


class Search(Protocol):
    """Rows on some device, and what every iteration asks of them. Arrays of n or of k x d lie where the rows do."""

    @property
    def scale(self) -> float:
        """Return the scale of the working coordinates."""

    def put(self, array: Array) -> Array:
        """Return an array of this machine's memory where the rows are."""

    def get(self, array: Array) -> Array:
        """Return an array in this machine's memory."""

    def total(self, squared: Float32Array) -> float:
        """Return the weighted sum of squared distances."""

    def count_changed(self, labels: Int32Array, previous: Int32Array | None) -> int:
        """Return how many labels differ; None: all do."""

    def reseed_empty(self, centroids: Float32Array, labels: Int32Array, squared: Float32Array) -> Int64Array:
        """Give every empty cluster the row with the largest error, in place; return the clusters, on this machine."""


class RankedSearch(Search, Protocol):
    """A search that ranks the three nearest centroids of every row."""

    @property
    def misassigned(self) -> float:
        """Return the share of rows whose ranking may be wrong at first: 0 where it is exact."""

    def begin(self, centroids: Float32Array) -> Int32Array:
        """Find first labels, move the centroids to the means of their rows, in place, and return the labels."""

    def resume(self, centroids: Float32Array, labels: Int32Array) -> None:
        """Go on from labels that are the state of an earlier fit."""

    def rank(self, centroids: Float32Array) -> tuple[Int32Array, Float32Array]:
        """Rank the centroids for every row; return the nearest, (n,) int32, and the squared distance to it, (n,)."""

    def relocate(
        self, centroids: Float32Array, labels: Int32Array, squared: Float32Array, rng: np.random.Generator
    ) -> Int64Array:
        """Move centroids to where the error is, in place, by the last ranking; return which, on this machine."""

    def repair(self, centroids: Float32Array, labels: Int32Array) -> Int32Array:
        """Return labels in which misassigned rows have found a nearer centroid."""

    def update(
        self,
        centroids: Float32Array,
        previous: Int32Array,
        labels: Int32Array,
        moved: Int64Array,
        renew: bool,
    ) -> None:
        """Move centroids to the means of their rows, in place. renew: the next ranking shall need nothing but these."""

    def last(self, centroids: Float32Array, labels: Int32Array) -> Int32Array:
        """Return the nearest centroid of every row once no centroid moves any more."""


def refine(
    search: RankedSearch,
    centroids: Float32Array,
    options: Options,
    rng: np.random.Generator,
    hooks: Hooks,
    final: bool = True,
) -> Fit:
    """Improve centroids, (k, d), in place, then, where it is final, assign every row to the nearest that is found.

    Centroids are relocated in all but the last quarter of the iterations. Where a ranking may be wrong, a repair comes
    after the fourth, and again where the inertia settles although the last repair moved more than 1 % of the rows. It
    stops when the inertia has settled: an iteration lowers it by less than `options.tolerance` of itself. States are
    saved after every fourth iteration, when nothing but centroids and labels is needed to go on.
    """
    before, start, misassigned, k = np.inf, 0, search.misassigned, len(centroids)
    if hooks.resume is not None:
        state = hooks.resume
        centroids, labels = search.put(state.centroids), search.put(state.labels)
        start, before, misassigned, rng.bit_generator.state = (
            state.iterations,
            state.inertia,
            state.misassigned,
            state.random,
        )
        search.resume(centroids, labels)
    else:
        labels = search.begin(centroids)
    ran = start
    for ran in range(start + 1, options.iterations + 1):
        previous = labels
        labels, squared = search.rank(centroids)
        rows_moved = search.count_changed(labels, previous)
        inertia = search.total(squared)
        settled = inertia >= before * (1 - options.tolerance)
        if ran <= options.iterations - options.iterations // 4 and not (settled and misassigned <= MISASSIGNED):
            moved = search.relocate(centroids, labels, squared, rng)
        else:
            moved = search.reseed_empty(centroids, labels, squared)
        if search.misassigned and (ran == REPAIR_AT or (settled and misassigned > MISASSIGNED)):
            found = search.repair(centroids, labels)
            misassigned, settled = search.count_changed(found, labels) / len(labels), False
            labels = found
        if hooks.on_iteration is not None:
            hooks.on_iteration(Iteration(ran, inertia / search.scale**2, rows_moved, len(moved)))
        search.update(centroids, previous, labels, moved, ran % SAVE_EVERY == 0)
        if settled and len(moved) <= k // 1000:
            break
        before = inertia
        if (save := hooks.save_after(ran)) is not None:
            random = dict(rng.bit_generator.state)
            save(FitState(ran, search.get(centroids), search.get(labels), inertia, misassigned, random))
    return Fit(centroids, search.last(centroids, labels) if final else labels, ran)
