"""How much of a pool is worth keeping, given how long a model is trained: quality against repetition.

Source: scaling laws for data filtering (Goyal et al. 2024, arXiv 2404.07177). A row of utility b is worth
b (1/2)^((k - 1) / tau) when it is seen for the k-th time. Where only the best rows are kept, each is seen more often,
so the best cut-off falls as training gets longer.
"""

import numpy as np

from evenkeel.infra.dtypes import Float64Array, Int64Array
from evenkeel.infra.errors import RecipeError

HALF_LIFE = 5.0


def utility_of_best(
    utility: Float64Array, rows: Int64Array, epochs: float, half_life: float = HALF_LIFE
) -> Float64Array:
    """Return what is learned from the best 1, 2, .. all bins of a pool, (bins,) float64.

    utility: (bins,), the mean utility of a row of each bin when it is first seen, best first. rows: (bins,) rows of
    each. epochs: how long the model is trained, in passes over the whole pool; the rows kept are repeated until so many
    are seen. half_life: tau, in repeats. Raises RecipeError for utilities below 0, an epoch or half-life of 0 or less.
    """
    if epochs <= 0 or half_life <= 0 or not np.all(np.isfinite(utility) & (utility >= 0)):
        raise RecipeError(
            "the utility of rows over several epochs cannot be reckoned",
            expected="utilities of at least 0, epochs and half-life above 0",
            found=f"a utility of {np.min(utility, initial=np.inf)}, {epochs} epochs, a half-life of {half_life}",
            where="filters",
            remedy="map the score to numbers of at least 0, by an expression or a rank",
        )
    kept = np.cumsum(rows).astype(np.float64)
    repeats = epochs * float(rows.sum()) / np.maximum(kept, 1)
    decay = 0.5 ** (1 / half_life)
    whole, part = np.floor(repeats), repeats - np.floor(repeats)
    seen = (1 - decay**whole) / (1 - decay) + part * decay**whole
    return np.asarray(np.cumsum(utility * rows) * seen, np.float64)


def best_bins(utility: Float64Array, rows: Int64Array, epochs: float, half_life: float = HALF_LIFE) -> int:
    """Return how many of the best bins to keep; the fewest of equally good. Arguments and errors as above."""
    return int(np.argmax(utility_of_best(utility, rows, epochs, half_life))) + 1 if len(rows) else 0
