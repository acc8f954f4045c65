"""The truncated SVD of a sparse matrix: by scikit-learn, and the same method on arrays of a CUDA device."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from evenkeel.infra.dtypes import Float32Array

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from evenkeel.infra.compute import Backend

ITERATIONS, SPARE = 3, 10


class Directions(NamedTuple):
    """Singular values, (k,) float32, falling, and right singular vectors, (k, columns) float32."""

    strengths: Float32Array
    rows: Float32Array


def truncated_svd(matrix: "csr_matrix", k: int, seed: int, backend: "Backend") -> Directions:
    """Return the k first singular values and directions of (n, m) rows, by a randomised SVD (Halko et al. 2011)."""
    if backend == "gpu":
        import cupy

        sparse = import_module("cupyx.scipy.sparse")
        found = randomised(cupy, sparse.csr_matrix(matrix), k, seed)
        return Directions(cupy.asnumpy(found[0]), cupy.asnumpy(found[1]))
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # the number of BLAS threads would show in the last bits
        _, strengths, directions = randomized_svd(matrix, k, n_iter=ITERATIONS, random_state=seed)
    return Directions(strengths, directions)


def randomised(xp: Any, matrix: Any, k: int, seed: int) -> tuple[Any, Any]:
    """Return singular values and directions, found in the span of a few random ones that `matrix` is applied to.

    xp: the namespace of the arrays, numpy or cupy. matrix: (n, m), sparse, of the same device. The entry of a direction
    that is largest in size is above 0.
    """
    width = min(k + SPARE, *matrix.shape)
    basis = xp.asarray(np.random.default_rng(seed).standard_normal((matrix.shape[1], width), np.float32))
    for _ in range(ITERATIONS):
        image, _ = xp.linalg.qr(matrix @ basis)
        basis, _ = xp.linalg.qr(matrix.T @ image)
    image, _ = xp.linalg.qr(matrix @ basis)
    _, strengths, directions = xp.linalg.svd((matrix.T @ image).T, full_matrices=False)
    largest = xp.argmax(xp.abs(directions), axis=1)
    turned = directions * xp.sign(directions[xp.arange(len(directions)), largest])[:, None]
    return strengths[:k], turned[:k]
