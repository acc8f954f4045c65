"""Coarse groups of the space: every row knows its nearest few, every centroid is filed under one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.kmeans import kernels
from evenkeel.tasks.kmeans import pruned_kernels as pruned
from evenkeel.tasks.kmeans.lloyd import Labels, Members, assign_exact, half_norms, members, squared_distances, update
from evenkeel.tasks.kmeans.prepare import Floats, Rows
from evenkeel.tasks.kmeans.seeding import seed_groups, seed_random
from evenkeel.tasks.kmeans.threads import spread

Ints = npt.NDArray[np.int32]

PROBES = 16
ROOM = (3, 6)
LOST = 0.01
SAMPLE = 64
PIECE = 4096


@dataclass(frozen=True)
class Groups:
    """Coarse centres, (G, d), the nearest of them to every row, (n, <= 16) int32, and how far they are, (n, <= 16)."""

    centres: Floats
    probes: Ints
    gaps: Floats

    def take(self, index: npt.NDArray[np.int64]) -> "Groups":
        """Return the groups of the rows at `index`."""
        return Groups(self.centres, self.probes[index], self.gaps[index])


def coarse_groups(rows: Rows, k: int, rng: np.random.Generator) -> Groups:
    """Return about sqrt(16 k) groups, where finding a row's groups and searching them cost the same."""
    n = len(rows.x)
    size = int(min(max(2, np.sqrt(PROBES * k)), n))
    sample = np.sort(rng.choice(n, size=min(n, SAMPLE * size), replace=False))
    part = rows.take(sample)
    centres = seed_random(part, size, rng)
    for _ in range(3):
        update(part, centres, *members(assign_exact(part, centres), len(centres)))
    return find_groups(rows, centres)


def find_groups(rows: Rows, centres: Floats) -> Groups:
    """Return the groups of rows around given centres."""
    probes, scores = nearest_groups(rows.x, centres, PROBES, rows.threads)
    return Groups(centres, probes, np.sqrt(np.maximum(rows.norms[:, None] + 2 * scores, 0)))


def nearest_groups(x: Floats, centres: Floats, most: int, threads: int) -> tuple[Ints, Floats]:
    """Return the nearest centres of every row, (n, min(most, G)) int32, nearest first, and their scores."""
    out = np.empty((len(x), min(most, len(centres))), np.int32)
    scores, half = np.empty(out.shape, np.float32), half_norms(centres)
    spread(
        lambda first, last: pruned.nearest_many(x, first, last, centres, half, out, scores), len(x), threads, part=1024
    )
    return out, scores


def file_centroids(
    centroids: Floats, groups: Groups, mass: npt.NDArray[Any] | None, threads: int
) -> tuple[Ints, Members]:
    """File every centroid under its nearest group with room: (groups near each, (k, <= 16), centroids by group)."""
    near, _ = nearest_groups(centroids, groups.centres, PROBES, threads)
    return near, file_bounded(near, len(groups.centres), -half_norms(centroids) if mass is None else mass)


def file_bounded(near: Ints, size: int, mass: npt.NDArray[Any]) -> Members:
    """Return centroids by group, given the groups near each, (k, p), of `size` groups and one more.

    A group takes at most three times the mean number of centroids, so that no crowded region makes a search cost n x k.
    Of those that find no room the largest by `mass` (their rows, or nearness to the mean of all) are filed under the
    group that is one too many, and that every search looks into: with a dense middle or a long tail such hubs are near
    to everyone. Where more than 1 % still find none, nobody would find them: groups then take six times the mean.
    """
    filed = np.empty(len(near), np.int32)
    first = np.argsort(-mass, kind="stable")
    for room in ROOM:
        lost = pruned.file_bounded(near, size, -(-room * len(near) // size), first, size // 2, filed)
        if lost <= LOST * len(near):
            break
    return members(filed, size + 1)


def search(
    rows: Rows,
    groups: Groups,
    centroids: Floats,
    labels: Labels | None,
    probes: int = PROBES,
    filing: Members | None = None,
    half: Floats | None = None,
    radii: Floats | None = None,
) -> Labels:
    """Return the nearest centroid of every row among those filed under its nearest groups, (n,) int32.

    labels: present ones, kept where nothing nearer is found. filing, half, radii: centroids by group, `half_norms`
    and `group_radii`, where these are known already. A row whose groups hold no centroid is compared with all.
    """
    member, begin = (
        filing
        or file_centroids(
            centroids, groups, None if labels is None else np.bincount(labels, minlength=len(centroids)), rows.threads
        )[1]
    )
    norms, half = rows.norms, half_norms(centroids) if half is None else half
    if labels is None:
        found, best = np.zeros(len(norms), np.int32), np.full(len(norms), np.inf, np.float32)
    else:
        found, best = labels.copy(), (squared_distances(rows, centroids, labels) - norms) * np.float32(0.5)
    radii = group_radii(groups.centres, centroids, member, begin) if radii is None else radii
    probes = min(probes, groups.probes.shape[1])
    for depth in (1, probes) if labels is None else (probes,):
        spread(
            lambda first, last, depth=depth: pruned.nearest_probed(  # type: ignore[misc]
                rows.x,
                first,
                last,
                norms,
                groups.probes,
                groups.gaps,
                depth,
                radii,
                member,
                begin,
                centroids,
                half,
                found,
                best,
            ),
            len(found),
            rows.threads,
            part=1024,
        )
    lost = np.flatnonzero(np.isinf(best))
    if lost.size:
        nearest = np.empty(len(lost), np.int32)
        kernels.nearest_of_all(rows.x[lost], 0, len(lost), centroids, half, nearest)
        found[lost] = nearest
    return found


def group_radii(
    centres: Floats, centroids: Floats, member: npt.NDArray[np.int64], begin: npt.NDArray[np.int64]
) -> Floats:
    """Return how far from its centre the farthest centroid of every group lies, (G,) float32; 0 for an empty group.

    The group of hubs, the last of those in `begin`, has no centre.
    """
    filed = np.repeat(np.arange(len(centres) + 1), np.diff(begin))
    radii = np.zeros(len(centres), np.float32)
    for first in range(0, begin[-2], PIECE):
        piece = slice(first, min(first + PIECE, begin[-2]))
        gaps = centroids[member[piece]] - centres[filed[piece]]
        np.maximum.at(radii, filed[piece], np.sqrt(np.einsum("ij,ij->i", gaps, gaps)))
    return radii


def seed_grouped(rows: Rows, groups: Groups, k: int, rng: np.random.Generator) -> Floats:
    """Return first centroids by k-means++ inside every group on its own, (<= k, d): n sqrt(k) products in all.

    The number of seeds of a group follows half its share of the rows and half its share of the error; it never exceeds
    the group's rows.
    """
    home = np.ascontiguousarray(groups.probes[:, 0])
    size = len(groups.centres)
    weights = rows.weights if rows.weights.size else None
    error = squared_distances(rows, groups.centres, home) * (1 if weights is None else weights)
    mass = np.bincount(home, weights=weights, minlength=size).astype(np.float64)
    spread_of = np.bincount(home, weights=error, minlength=size)
    share = mass / mass.sum() + (spread_of / spread_of.sum() if spread_of.any() else 0)
    place = np.concatenate(([0], np.cumsum(allot(share, k, np.bincount(home, minlength=size)))))
    order, starts = members(home, size)
    seeds, squared, draws = np.empty(place[-1], np.int64), np.empty(len(home), np.float32), rng.random(place[-1])
    spread(
        lambda first, last: seed_groups(rows.x, rows.weights, order, starts, place, draws, first, last, seeds, squared),
        size,
        rows.threads,
        part=1,
    )
    return np.take(rows.x, seeds[seeds >= 0], axis=0)


def allot(share: npt.NDArray[np.float64], k: int, most: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return whole numbers in proportion to `share`, none above `most`, that add up to min(k, sum(most))."""
    exact = share / share.sum() * k
    quota = np.minimum(np.floor(exact).astype(np.int64), most)
    while (missing := min(k, int(most.sum())) - int(quota.sum())) > 0:
        gap = np.where(quota < most, exact - quota, -np.inf)
        best = np.argsort(-gap, kind="stable")[: min(missing, int((quota < most).sum()))]
        quota[best] += 1
    return np.asarray(quota, np.int64)
