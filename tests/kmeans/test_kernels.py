"""The products that every kernel is made of against numpy, for every length of row and wherever rows lie in memory."""

import numpy as np
import pytest

from evenkeel.infra.dtypes import Float32Array, Int64Array
from evenkeel.tasks.kmeans.kernels import dots, kernel


@kernel
def products(x: Float32Array, rows: Int64Array, y: Float32Array, columns: Int64Array, out: Float32Array) -> None:
    """Call what is inlined from a kernel, as kernels do."""
    x0, x1, x2, x3 = x[rows[0]], x[rows[1]], x[rows[2]], x[rows[3]]
    dots(x0, x1, x2, x3, y[columns[0]], y[columns[1]], y[columns[2]], out)


@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 16, 31, 384, 387])
@pytest.mark.parametrize("step", [1, 3])
def test_four_rows_and_three_centroids_make_twelve_products(d: int, step: int) -> None:
    rng = np.random.default_rng(d)
    x = rng.standard_normal((30, d), dtype=np.float32)[::step]
    y = rng.standard_normal((5, d), dtype=np.float32)
    rows, columns, out = np.array([9, 0, 4, 4]), np.array([4, 1, 1]), np.empty((3, 4), np.float32)
    products(x, rows, y, columns, out)
    expected = y[columns].astype(np.float64) @ x[rows].astype(np.float64).T
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-4)
