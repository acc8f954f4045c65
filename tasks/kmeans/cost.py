"""What a k-means costs."""

SEARCHED = 290  # bytes of a row: its 16 lists and their distances, while they are found, norm, order, labels, ranking
TAKEN = 200  # of them, bytes that a round has again for the rows that it keeps
CENTROID_COPIES = 4  # as they are, as they were, those of the round before, and of the search
LISTED = 600  # bytes of a centroid: its neighbours, before and after, the cells they lie in, and its sums


def k_means_seconds(rows: float, clusters: float, dimension: int, rounds: float = 1.0) -> float:
    """Return CPU-seconds on a reference core, as fitted (see `tasks/workload.py`).

    rounds: how often as much as one fit takes; see `resampled`.
    """
    return float(9.6e-7 * rows**0.9 * max(1.0, clusters) ** 0.3 * dimension**0.47 * rounds)


def resampled(rounds: int, share: float) -> float:
    """Return how often as much as one fit takes k-means takes with rounds of resampling that keep a share of the rows.

    A round fits on these, and then all rows find the nearest centroid.
    """
    return 1 + rounds * (0.15 + 0.5 * share)


def k_means_bytes(dimension: int, itemsize: int, kept: float = 0.0) -> float:
    """Return the bytes of memory that a k-means takes for each of its rows, all counted.

    itemsize: of a number of the rows it copies from, which are in memory too, read or mapped. kept: the share of the
    rows that a round of resampling fits on beside all, 0 without resampling.
    """
    return dimension * itemsize + 4 * dimension + SEARCHED + kept * (4 * dimension + TAKEN)


def centroid_bytes(dimension: int) -> float:
    """Return the bytes of memory that a k-means takes for each of its centroids, all counted."""
    return CENTROID_COPIES * 4 * dimension + LISTED
