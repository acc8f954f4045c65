"""The embedder `tfidf-svd`: hashes n-grams, weighs them by tf-idf and projects them by a truncated SVD.

Latent semantic analysis (Deerwester et al. 1990) on hashed features (Weinberger et al. 2009, arXiv 0902.2206), by a
randomised SVD (Halko et al. 2011, arXiv 0909.4061). The fitted map is three arrays: `features.npy` names the hash
buckets that are used, `idf.npy` holds their weights and `projection.npy` the (features, d) float32 projection.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.embed.config import TfidfSvdEmbedding
from evenkeel.tasks.embed.embedder import Matrix
from evenkeel.tasks.embed.fit_sample import Positions, sample_rows
from evenkeel.tasks.embed.words import Bytes, Offsets, kind_at, mix, slices
from evenkeel.tasks.ingest.pool import Block, Pool

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MIN_TEXTS = 2  # a feature that fewer texts of the sample share says nothing about similarity


@dataclass(frozen=True)
class TfidfSvd:
    """Embeds texts by the fitted map in the folder `uri`."""

    config: TfidfSvdEmbedding
    uri: str
    scratch: str

    def embed(self, pool: Pool, block: Block, positions: Positions | None = None) -> Matrix:
        """Return raw vectors of a block, or of the rows at `positions`: (rows, d) float32."""
        texts = pool.text(block)
        return self.embed_texts(texts if positions is None else texts.take(pa.array(positions)))

    def dimension(self, source: int | None) -> int:
        """Return the length of the raw vectors."""
        return self.config.dimension

    def embed_texts(self, texts: pa.ChunkedArray) -> Matrix:
        """Return raw vectors, (rows, d) float32; a text without a known n-gram gives a zero row."""
        features, idf, projection = _load_map(self.uri, self.scratch)
        vectors = np.zeros((len(texts), projection.shape[1]), np.float32)
        for start, counts in ngram_counts(texts, self.config):
            vectors[start : start + counts.shape[0]] = _weigh(counts[:, features], idf) @ projection
        return vectors


def fit(pool: Pool, config: TfidfSvdEmbedding, uri: str) -> Mapping[str, float]:
    """Fit the map on a seeded sample of the pool, write it to the folder `uri` and return facts about the fit.

    Raises InputError where the sample has no n-gram at all.
    """
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    parts = [
        counts
        for block, positions in sample_rows(pool.blocks, config.sample, config.seed)
        for _, counts in ngram_counts(pool.text(block).take(pa.array(positions)), config)
    ]
    counts = sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((0, config.buckets), dtype=np.float32)
    shared = np.bincount(counts.indices, minlength=config.buckets)
    min_texts = MIN_TEXTS if (shared >= MIN_TEXTS).any() else 1
    features = np.flatnonzero(shared >= min_texts)
    if not len(features):
        raise InputError(
            "no text of the sample has a word", where="embedding", remedy="name another column: source.text"
        )
    idf = (np.log((1 + counts.shape[0]) / (1 + shared[features])) + 1).astype(np.float32)
    matrix = _weigh(counts[:, features], idf)
    dimension = min(config.dimension, *matrix.shape)
    with threadpool_limits(1):  # the number of BLAS threads would show in the last bits
        _, strengths, directions = randomized_svd(matrix, dimension, n_iter=3, random_state=config.seed % 2**32)
    projection = np.zeros((len(features), config.dimension), np.float32)
    projection[:, :dimension] = directions.T
    for name, array in (("features", features.astype(np.int32)), ("idf", idf), ("projection", projection)):
        write_array(storage.join(uri, f"{name}.npy"), array)
    explained = float((strengths.astype(np.float64) ** 2).sum() / max(matrix.multiply(matrix).sum(), 1e-12))
    return {"fitted_on": int(matrix.shape[0]), "features": len(features), "explained": round(explained, 4)}


def ngram_counts(texts: pa.ChunkedArray, config: TfidfSvdEmbedding) -> "Iterator[tuple[int, csr_matrix]]":
    """Yield `(first row, counts)` of bounded slices of texts; counts: (rows, buckets) float32 of hashed n-grams."""
    from scipy import sparse

    for start, data, offsets in slices(texts, config.max_characters):
        found = np.empty(3 * len(data) + 1, np.int32)
        indptr = np.empty(len(offsets), np.int64)
        used = _ngrams(data, offsets, np.uint64(config.buckets), config.char_ngrams, found, indptr)
        counts = sparse.csr_matrix(
            (np.ones(used, np.float32), found[:used].copy(), indptr), shape=(len(offsets) - 1, config.buckets)
        )
        counts.sum_duplicates()
        yield start, counts


def _weigh(counts: "csr_matrix", idf: npt.NDArray[np.float32]) -> "csr_matrix":
    """Replace counts by (1 + log count) * idf, scale every row to length 1, and return the matrix."""
    counts.data = (1 + np.log(counts.data)) * idf[counts.indices]
    squares = np.asarray(counts.multiply(counts).sum(axis=1)).ravel()
    lengths = np.sqrt(np.maximum(squares, 1e-30), dtype=np.float32)
    counts.data /= np.repeat(lengths, np.diff(counts.indptr))
    return counts


@lru_cache(maxsize=2)
def _load_map(uri: str, scratch: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], Matrix]:
    features, idf, projection = (
        map_array(storage.join(uri, f"{name}.npy"), Path(scratch)) for name in ("features", "idf", "projection")
    )
    return features, idf, projection


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _ngrams(
    data: Bytes,
    offsets: Offsets,
    buckets: np.uint64,
    char_ngrams: bool,
    found: npt.NDArray[np.int32],
    ends: Offsets,
) -> int:
    """Write the bucket of every word, word bigram and 4-gram of a word's bytes with its edges; return how many."""
    used = 0
    ends[0] = 0
    for text in range(len(offsets) - 1):
        at, end = offsets[text], offsets[text + 1]
        state, previous = np.uint64(0xCBF29CE484222325), np.uint64(0)
        window, inside = np.uint32(0), 0
        while at <= end:
            kind, width = (0, 1) if at == end else kind_at(data, at, end)
            if kind != 0:
                if inside == 0:
                    window = np.uint32(0x5F)  # the edge of a word
                for place in range(at, at + width):
                    byte = data[place]
                    if 0x41 <= byte <= 0x5A:
                        byte |= np.uint8(0x20)
                    state = (state ^ np.uint64(byte)) * np.uint64(0x100000001B3)
                    window = np.uint32(window << np.uint32(8)) | np.uint32(byte)
                    inside += 1
                    if char_ngrams and inside >= 3:
                        found[used] = mix(np.uint64(window) | np.uint64(0x7) << np.uint64(40)) % buckets
                        used += 1
            if inside and kind != 1:
                if char_ngrams and inside >= 3:
                    window = np.uint32(window << np.uint32(8)) | np.uint32(0x5F)
                    found[used] = mix(np.uint64(window) | np.uint64(0x7) << np.uint64(40)) % buckets
                    used += 1
                word = mix(state)
                found[used] = word % buckets
                used += 1
                if previous != 0:
                    found[used] = mix(word + np.uint64(3) * previous) % buckets
                    used += 1
                previous, state, inside = word, np.uint64(0xCBF29CE484222325), 0
            at += width
        ends[text + 1] = used
    return used
