"""Measures of balance: how evenly rows are spread over clusters or groups."""

import numpy as np
from numpy.typing import ArrayLike

MEASURES = (
    "entropy", "kl_uniform", "gini", "largest_share", "smallest_share", "coverage", "hill0", "hill1", "hill2",
)  # fmt: skip


def balance(counts: ArrayLike, present: ArrayLike | None = None) -> dict[str, float]:
    """Return the measures of balance of counts >= 0 over cells, (n,).

    present: (n,) bool, the cells that hold rows in the pool; only those count (all without). entropy: over its
    largest value, in [0, 1]. kl_uniform: nats to the uniform distribution over the cells present. coverage: share of
    those cells that are not empty. hill0, hill1, hill2: effective numbers of cells (Hill 1973): occupied, exp(entropy),
    1 / sum(share^2). Of no rows or no cells: entropy, coverage and Hill numbers 0, kl_uniform the largest possible.
    """
    sizes = np.asarray(counts, dtype=np.float64)
    if present is not None:
        sizes = sizes[np.asarray(present, dtype=bool)]
    cells, total = len(sizes), sizes.sum()
    if cells == 0 or total <= 0:
        worst = float(np.log(cells)) if cells else 0.0
        return dict(zip(MEASURES, (0.0, worst, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), strict=True))
    shares = sizes / total
    held = shares[shares > 0]
    entropy = float(-(held * np.log(held)).sum())
    ascending = np.sort(shares)
    gini = float((2 * np.arange(1, cells + 1) - cells - 1) @ ascending / cells)
    return {
        "entropy": entropy / float(np.log(cells)) if cells > 1 else 1.0,
        "kl_uniform": max(0.0, float(np.log(cells)) - entropy),
        "gini": max(0.0, gini),
        "largest_share": float(ascending[-1]),
        "smallest_share": float(ascending[0]),
        "coverage": len(held) / cells,
        "hill0": float(len(held)),
        "hill1": float(np.exp(entropy)),
        "hill2": float(1.0 / (shares @ shares)),
    }
