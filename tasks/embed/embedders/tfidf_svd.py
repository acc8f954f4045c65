"""The embedder `tfidf-svd`: hashes n-grams, weighs them by tf-idf and projects them by a truncated SVD.

Latent semantic analysis (Deerwester et al. 1990) on hashed features (Weinberger et al. 2009, arXiv 0902.2206), by a
randomised SVD (Halko et al. 2011, arXiv 0909.4061). The fitted map is three arrays: `features.npy` names the hash
buckets that are used, `idf.npy` holds their weights and `projection.npy` the (features, d) float32 projection. Buckets
of character n-grams lie behind those of words, from the fact `characters_from` on, and weigh less for their kind. In a
pool that the sample holds whole, the n-grams of texts that share none with another text get random directions (Johnson
and Lindenstrauss 1984): such a text lies apart from all others, where it would have no direction at all.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import AliasChoices, ConfigDict, Field

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.embed.embedder import Dtype, Matrix, Place, TextEmbedder
from evenkeel.tasks.embed.fit_sample import sample_rows
from evenkeel.tasks.embed.svd import truncated_svd
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.workload import Workload

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MIN_TEXTS = 2  # a feature that fewer texts of the sample share says nothing about similarity
CHARACTER_WEIGHT = 0.6  # of a character n-gram beside a word: there are so many that at 1 they hold half of a text


class TfidfSvdEmbedding(TextEmbedder):
    """Hashed word and character n-grams, tf-idf weights, truncated SVD; fast, no model, no GPU."""

    model_config = ConfigDict(extra="forbid", title="tfidf-svd")

    map_files: ClassVar[tuple[str, ...]] = ("features.npy", "idf.npy", "projection.npy")

    method: Literal["tfidf-svd"] = "tfidf-svd"
    dimension: int = Field(192, ge=2, le=4096, description="length of the vectors")
    buckets: int = Field(
        1 << 18,
        ge=1 << 8,
        le=1 << 26,
        description="hash buckets that n-grams of words fall into, and as many for those of characters",
    )
    char_ngrams: bool = Field(
        True,
        validation_alias=AliasChoices("char_ngrams", "characters"),
        description="hash character 4-grams in addition to word unigrams and bigrams; without them embedding takes "
        "three fifths of the time",
    )
    max_characters: int = Field(
        32_768,
        ge=64,
        validation_alias=AliasChoices("max_characters", "longest"),
        description="characters of a text that are read; the rest is ignored",
    )
    normalise: bool = Field(True, description="scale every row to length 1; zero rows stay zero")
    dtype: Dtype | None = Field("float16", description="how vectors are stored; empty = float32")

    def fit(self, pool: Pool, place: Place) -> Mapping[str, object]:
        """Fit the map on a seeded sample of the pool, write it to `place.map` and return facts about the fit.

        Raises InputError where the sample has no n-gram at all.
        """
        from scipy import sparse

        parts = [
            counts
            for block, positions in sample_rows(pool.blocks, self.sample, self.seed)
            for _, counts in ngram_counts(pool.text(block).take(pa.array(positions)), self, self.buckets)
        ]
        counts = sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((0, self.buckets), dtype=np.float32)
        shared = np.bincount(counts.indices, minlength=counts.shape[1])
        min_texts = MIN_TEXTS if (shared >= MIN_TEXTS).any() else 1
        features = np.flatnonzero(shared >= min_texts)
        alone = _alone(counts, features) if pool.rows <= self.sample else np.empty(0, np.int64)
        if not len(features):
            raise InputError(
                "no text of the sample has a word", where="embedding", remedy="name another column: source.text"
            )
        known = np.append(features, alone).astype(np.int32)
        idf = np.log((1 + counts.shape[0]) / (1 + np.append(shared[features], np.ones(len(alone))))) + 1
        idf = np.where(known < self.buckets, idf, CHARACTER_WEIGHT * idf).astype(np.float32)
        matrix = _weigh(counts[:, features], idf)
        dimension = min(self.dimension, *matrix.shape)
        strengths, directions = truncated_svd(matrix, dimension, self.seed % 2**32, place.backend)
        projection = np.zeros((len(features) + len(alone), self.dimension), np.float32)
        projection[: len(features), :dimension] = directions.T
        projection[len(features) :] = _apart(len(alone), self.dimension, self.seed)
        for name, array in (("features", known), ("idf", idf), ("projection", projection)):
            write_array(storage.join(place.map, f"{name}.npy"), array)
        explained = float((strengths.astype(np.float64) ** 2).sum() / max(matrix.multiply(matrix).sum(), 1e-12))
        return {
            "fitted_on": int(matrix.shape[0]),
            "features": len(known),
            "explained": round(explained, 4),
            "characters_from": self.buckets,
        }

    def check_map(self, place: Place) -> None:
        """Raise InputError where the map is of another number of buckets, or of characters that are not hashed here.

        A map of an earlier version does not tell its number, only the last bucket that it uses.
        """
        features, _, _, characters_from = _load_map(place.map, place.scratch)
        last = int(features.max(initial=0))
        if characters_from not in (0, self.buckets) or (not characters_from and last >= self.buckets):
            raise InputError(
                "the fitted map has another number of hash buckets",
                expected=f"{characters_from:,}" if characters_from else f"more than {last:,}",
                found=f"{self.buckets:,}",
                where="embedding.buckets",
                remedy=f"embedding.buckets: {characters_from or '(that of the earlier embedding)'}, or fit a new map: "
                "leave out embedding.fitted",
            )
        if characters_from and last >= characters_from and not self.char_ngrams:
            raise InputError(
                "the fitted map reads character n-grams, which are not hashed",
                expected="char_ngrams: true",
                found="char_ngrams: false",
                where="embedding.char_ngrams",
                remedy="embedding.char_ngrams: true, or fit a new map: leave out embedding.fitted",
            )

    def embed_texts(self, texts: pa.ChunkedArray, place: Place) -> Matrix:
        """Return raw vectors, (rows, d) float32; a text without a known n-gram gives a zero row."""
        features, idf, projection, characters_from = _load_map(place.map, place.scratch)
        vectors = np.zeros((len(texts), projection.shape[1]), np.float32)
        for start, counts in ngram_counts(texts, self, characters_from):
            vectors[start : start + counts.shape[0]] = _weigh(counts[:, features], idf) @ projection
        return vectors

    def raw_dimension(self, source: int | None, place: Place) -> int:
        """Return `dimension`."""
        return self.dimension

    def cost(self, work: Workload) -> float:
        sampled = work.text_bytes * min(work.rows, self.sample) / 1e6
        full = (0.075 + 0.00065 * self.dimension) * work.text_megabytes + 0.0076 * self.dimension * sampled
        return full if self.char_ngrams else 0.6 * full


def ngram_counts(
    texts: pa.ChunkedArray, config: TfidfSvdEmbedding, characters_from: int
) -> "Iterator[tuple[int, csr_matrix]]":
    """Yield `(first row, counts)` of bounded slices of texts; counts: (rows, buckets) float32 of hashed n-grams.

    characters_from: the first bucket of character n-grams, where the config has any.
    """
    from scipy import sparse

    from evenkeel.tasks.embed.words import ngram_buckets, slices  # compiled code: a recipe must load without it

    first, width = (characters_from, characters_from + config.buckets) if config.char_ngrams else (-1, config.buckets)
    for start, data, offsets in slices(texts, config.max_characters):
        found = np.empty(3 * len(data) + 1, np.int32)
        indptr = np.empty(len(offsets), np.int64)
        used = ngram_buckets(data, offsets, np.uint64(config.buckets), first, found, indptr)
        counts = sparse.csr_matrix(
            (np.ones(used, np.float32), found[:used].copy(), indptr), shape=(len(offsets) - 1, width)
        )
        counts.sum_duplicates()
        yield start, counts


def _alone(counts: "csr_matrix", shared: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the buckets, ascending, of the texts that have no shared feature, so that they do not become zero rows."""
    none_shared = np.diff(counts[:, shared].indptr) == 0
    return np.unique(counts[np.flatnonzero(none_shared)].indices).astype(np.int64)


def _apart(rows: int, dimension: int, seed: int) -> Matrix:
    """Return directions that have little to do with one another, (rows, dimension) float32 of length 1."""
    drawn = np.random.default_rng(seed % 2**32).normal(size=(rows, dimension))
    apart: Matrix = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return apart


def _weigh(counts: "csr_matrix", idf: npt.NDArray[np.float32]) -> "csr_matrix":
    """Replace counts by (1 + log count) * idf, scale every row to length 1, and return the matrix."""
    counts.data = (1 + np.log(counts.data)) * idf[counts.indices]
    squares = np.asarray(counts.multiply(counts).sum(axis=1)).ravel()
    lengths = np.sqrt(np.maximum(squares, 1e-30), dtype=np.float32)
    counts.data /= np.repeat(lengths, np.diff(counts.indptr))
    return counts


@lru_cache(maxsize=2)
def _load_map(uri: str, scratch: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], Matrix, int]:
    """Return features, weights, projection and the first bucket of characters: in an earlier map 0, as of words."""
    features, idf, projection = (
        map_array(storage.join(uri, f"{name}.npy"), Path(scratch)) for name in ("features", "idf", "projection")
    )
    about = storage.read_json(storage.join(uri, "map.json"))
    return features, idf, projection, int(about.get("characters_from", 0))
