"""Place centroids on a flat map; the same centroids always get the same places."""

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]


def project(centroids: Points, seed: int = 0) -> Points:
    """Return places (k, 2) float32 in [0, 1] for centroids (k, d): neighbours on the map are neighbours in space.

    Principal components start a t-SNE (van der Maaten and Hinton 2008) of fixed seed; below eight centroids the
    components alone are the map. Equal centroids are spread on a small circle rather than hidden behind each other.
    """
    k = len(centroids)
    if k == 0:
        return np.zeros((0, 2), np.float32)
    start = _components(centroids.astype(np.float64))
    places = start
    if k >= 8 and np.ptp(start) > 0:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits

        small = centroids if centroids.shape[1] <= 50 else _components(centroids.astype(np.float64), 50)
        scaled = start / max(float(start[:, 0].std()), 1e-12) * 1e-4
        perplexity = min(20.0, max(2.0, (k - 1) / 4))
        model = TSNE(init=scaled.astype(np.float32), perplexity=perplexity, random_state=seed, max_iter=400, n_jobs=1)
        with threadpool_limits(1):
            places = model.fit_transform(np.ascontiguousarray(small, dtype=np.float32))
    places = places - places.min(axis=0)
    scale = places.max()
    if scale == 0:
        turn = 2 * np.pi * np.arange(k) / k
        return np.stack([0.5 + 0.3 * np.cos(turn), 0.5 + 0.3 * np.sin(turn)], axis=1).astype(np.float32)
    unit: Points = (places / places.max(axis=0).clip(1e-12)).astype(np.float32)
    return unit


def project_within(centroids: Points, parents: Points, parent_of: npt.NDArray[np.int32], seed: int = 0) -> Points:
    """Return places (k, 2) float32 for very many centroids (k, d): each beside its parent (m, d), on the parents' map.

    The step from the parent is the centroid's difference from it along the two main axes of all such differences,
    scaled so that siblings fill about the distance between neighbouring parents.
    """
    middle = project(parents, seed)
    steps = _components((centroids - parents[parent_of]).astype(np.float64))
    steps /= max(float(np.sqrt((steps**2).sum(axis=1).mean())), 1e-12)
    apart = np.linalg.norm(middle[:, None] - middle[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    siblings = np.bincount(parent_of, minlength=len(parents))[parent_of]
    gap = float(np.median(apart.min(axis=1))) if len(parents) > 1 else 0.5
    places = middle[parent_of] + 0.5 * gap * steps * np.clip(np.sqrt(siblings / siblings.mean()), 0.5, 3.0)[:, None]
    places = places - places.min(axis=0)
    unit: Points = (places / places.max(axis=0).clip(1e-12)).astype(np.float32)
    return unit


def _components(points: npt.NDArray[np.float64], wanted: int = 2) -> npt.NDArray[np.float64]:
    """Return the first principal components (k, wanted), signs fixed so that the largest loading is positive."""
    centred = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :wanted]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    found = centred @ axes
    return np.pad(found, ((0, 0), (0, max(0, wanted - found.shape[1]))))
