"""The tile of products against numpy, for every length of row and wherever rows lie in memory."""

import numba
import numpy as np
import pytest

from evenkeel.tasks.kmeans.tile import dots


@numba.njit  # type: ignore[untyped-decorator]
def tile(x: np.ndarray, rows: np.ndarray, centroids: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """Call the intrinsic from compiled code, as kernels do."""
    dots(x, rows[0], rows[1], rows[2], rows[3], centroids, columns[0], columns[1], columns[2], out)


@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 16, 31, 384, 387])
@pytest.mark.parametrize("step", [1, 3])
def test_a_tile_is_twelve_products(d: int, step: int) -> None:
    rng = np.random.default_rng(d)
    x = rng.standard_normal((30, d), dtype=np.float32)[::step]
    centroids = rng.standard_normal((5, d), dtype=np.float32)
    rows, columns, out = np.array([9, 0, 4, 4]), np.array([4, 1, 1], np.int32), np.empty((3, 4), np.float32)
    tile(x, rows, centroids, columns, out)
    expected = centroids[columns].astype(np.float64) @ x[rows].astype(np.float64).T
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-4)
