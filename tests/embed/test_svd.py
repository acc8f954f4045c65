"""The SVD that a CUDA device computes, here on NumPy's arrays: it finds what scikit-learn's finds."""

import numpy as np
from scipy import sparse

from evenkeel.tasks.embed.svd import randomised, truncated_svd


def test_directions_on_a_device_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((300, 12)) * np.geomspace(30, 2, 12) @ rng.standard_normal((12, 80))
    matrix = sparse.csr_matrix((wide + 0.1 * rng.standard_normal((300, 80))).astype(np.float32))
    strengths, directions = randomised(np, matrix, 8, seed=1)
    peer = truncated_svd(matrix, 8, 1, "cpu")
    exact = np.linalg.svd(matrix.toarray(), full_matrices=False)[1][:8]
    np.testing.assert_allclose(strengths, exact, rtol=1e-3)
    np.testing.assert_allclose(peer.strengths, exact, rtol=1e-3)
    np.testing.assert_allclose(np.abs(np.einsum("ij,ij->i", directions, peer.rows)), 1, atol=1e-3)
    assert directions.dtype == np.float32
    again = randomised(np, matrix, 8, seed=1)[1]
    assert np.array_equal(again, directions)
    assert (directions[np.arange(8), np.abs(directions).argmax(axis=1)] > 0).all()
    assert randomised(np, matrix[:, :5], 5, seed=0)[1].shape == (5, 5)
