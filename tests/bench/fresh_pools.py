"""Random labelled pools that no rule was made for: shape, size, tail, overlap and target are drawn from a seed."""

import numpy as np
from scipy.spatial import cKDTree

from tests.bench.balance_pools import Pool, labels_of, zipf

SHAPES = ("even", "unequal", "nested", "heavy-tailed", "curved", "unit-length")


def fresh(seed: int) -> Pool:
    """Return the random pool of a seed.

    Components have equal or unequal spread, nest in groups, have heavy tails (Student t, 4 degrees of freedom), lie on
    a curved surface of 3 to 8 dimensions, or on the unit sphere. `overlap` is the diameter of a component relative to
    the median distance of a centre to the next.
    """
    rng = np.random.default_rng([20_405, seed])
    shape = SHAPES[seed % len(SHAPES)]
    labels, d = (int(np.exp(rng.uniform(np.log(low), np.log(high)))) for low, high in ((6, 400), (4, 256)))
    rows = int(rng.uniform(max(4000, 20 * labels), 16_000))
    exponent, overlap, share = rng.uniform(0.5, 1.8), rng.uniform(0.3, 1.2), rng.uniform(0.03, 0.25)
    latent = int(rng.integers(3, 9)) if shape == "curved" else d
    centres = rng.normal(0, 1, (labels, latent))
    if shape == "nested":
        centres += 3 * rng.normal(0, 1, (max(2, labels // 10), latent))[rng.integers(0, max(2, labels // 10), labels)]
    gap = np.median(cKDTree(centres).query(centres, 2)[0][:, 1])
    sigma = np.full(labels, overlap * gap / (2 * np.sqrt(latent)))
    if shape == "unequal":
        sigma = sigma * np.exp(rng.normal(0, 0.5, labels))
    fold = rng.normal(0, 1 / np.sqrt(latent), (latent, d)), rng.normal(0, 1 / np.sqrt(latent), (latent, d))

    def points(part: np.ndarray) -> np.ndarray:
        noise = (
            rng.standard_t(4, (len(part), latent)) if shape == "heavy-tailed" else rng.normal(size=(len(part), latent))
        )
        x = centres[part] + sigma[part, None] * noise
        if shape == "curved":
            x = x @ fold[0] + np.sin(2 * x @ fold[1]) + rng.normal(0, 0.02, (len(part), d))
        return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True) if shape == "unit-length" else x)

    y, test_y = labels_of(rows, rng.permutation(zipf(labels, exponent)), rng), np.repeat(np.arange(labels), 10)
    about = f"{rows:,} x {d}, {labels} {shape} components, Zipf({exponent:.1f}), overlap {overlap:.1f}"
    return Pool(f"fresh-{seed}", about, points(y), y, points(test_y), test_y, int(share * rows))
