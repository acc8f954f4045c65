"""What a k-means costs."""


def k_means_seconds(rows: float, clusters: float, dimension: int, rounds: float = 1.0) -> float:
    """Return CPU-seconds on a reference core, as fitted (see `tasks/workload.py`); rounds: fits over all rows."""
    return float(1.46e-7 * rows**0.98 * max(1.0, clusters) ** 0.45 * dimension**0.57 * rounds)
