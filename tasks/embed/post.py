"""Post-process raw vectors: fit mean and principal components on a sample, store them, apply them block by block."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.tasks.embed.embedder import Embedder, Matrix, Place, PostSteps, RawVectors
from evenkeel.tasks.embed.fit_sample import sample_rows
from evenkeel.tasks.ingest.pool import Pool


@dataclass(frozen=True)
class PostProcessor:
    """Applies the post-steps of a config with the mean and rotation stored in `place.map`."""

    config: PostSteps
    place: Place

    @property
    def is_identity(self) -> bool:
        """Return whether vectors come out as they went in."""
        config = self.config
        return not (needs_fit(config) or config.normalise or config.dtype)

    def apply(self, vectors: RawVectors) -> RawVectors:
        """Return (n, k) vectors for (n, d) raw ones; zero rows of a normalised, uncentred embedding stay zero."""
        config = self.config
        if needs_fit(config):
            mean, rotation = _load(self.place.map, self.place.scratch)
            if vectors.shape[1] != len(mean):
                raise InputError(
                    "the fitted map is for vectors of another length",
                    expected=f"{len(mean)} dimensions",
                    found=f"{vectors.shape[1]}",
                    where="embedding.fitted",
                )
            vectors = np.asarray(vectors, np.float32) - mean if config.center or rotation.size else vectors
            if rotation.size:
                vectors = vectors @ rotation
        if config.normalise:
            vectors = normalise(vectors)
        return vectors.astype(config.dtype or vectors.dtype, copy=False)


def needs_fit(config: PostSteps) -> bool:
    """Return whether these steps need a fit on a sample."""
    return config.center or config.whiten or config.components is not None


def fit(pool: Pool, embedder: Embedder, place: Place) -> dict[str, float]:
    """Fit mean and principal components on a seeded sample, write them to `place.map` and return facts about them.

    Raises RecipeError where more components are asked for than the vectors have dimensions or the sample rows.
    """
    parts = [
        np.asarray(embedder.embed(pool, block, positions, place), np.float32)
        for block, positions in sample_rows(pool.blocks, embedder.sample, embedder.seed)
    ]
    if not parts:
        raise InputError("the pool is empty: there is no sample to fit on", where="embedding")
    raw = np.concatenate(parts)
    mean = raw.mean(axis=0, dtype=np.float64)
    rotation: npt.NDArray[np.float64] = np.empty((0, 0))
    facts: dict[str, float] = {"fitted_on": len(raw)}
    if embedder.components is not None or embedder.whiten:
        rotation, explained = _principal_axes(raw, mean, embedder)
        facts["explained"] = explained
    write_array(storage.join(place.map, "mean.npy"), mean.astype(np.float32))
    write_array(storage.join(place.map, "rotation.npy"), rotation.astype(np.float32))
    return facts


def normalise(vectors: RawVectors) -> Matrix:
    """Return rows scaled to length 1, (n, d) float32; a zero row stays zero."""
    vectors = vectors.astype(np.float32, copy=False)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    lengths[lengths == 0] = 1
    scaled: Matrix = vectors / lengths[:, None]
    return scaled


def _principal_axes(
    raw: Matrix, mean: npt.NDArray[np.float64], config: PostSteps
) -> tuple[npt.NDArray[np.float64], float]:
    """Return (d, k) axes by falling variance, whitened if asked, with the share of variance they explain."""
    wanted = config.components or raw.shape[1]
    if wanted > min(raw.shape):
        raise RecipeError(
            f"{wanted} principal components are more than there are",
            expected=f"at most {min(raw.shape)}",
            found=f"{raw.shape[1]} dimensions, a sample of {raw.shape[0]} rows",
            where="embedding.components",
        )
    centred = raw - mean.astype(np.float32)
    covariance: npt.NDArray[np.float64] = (centred.T @ centred).astype(np.float64) / max(len(raw) - 1, 1)
    rising, reversed_axes = np.linalg.eigh(covariance)
    variances, axes = np.maximum(rising[::-1], 0), reversed_axes[:, ::-1]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    explained = float(variances[:wanted].sum() / max(variances.sum(), 1e-30))
    axes = axes[:, :wanted]
    if config.whiten:
        axes = axes / np.sqrt(variances[:wanted] + 1e-6 * variances[0] + 1e-30)
    return axes, round(explained, 4)


@lru_cache(maxsize=2)
def _load(uri: str, scratch: str) -> tuple[Matrix, Matrix]:
    mean, rotation = (
        np.array(map_array(storage.join(uri, f"{name}.npy"), Path(scratch))) for name in ("mean", "rotation")
    )
    return mean, rotation
