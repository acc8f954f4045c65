"""Rows that must not be in the dataset: those that match a list of ids, texts, n-grams or vectors.

Every list is prepared once into sorted arrays, of at most some ten thousand texts or vectors each, so that what the
driver holds does not grow with the list; every block of the pool is then matched against all lists in one pass.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypedDict, TypeVar

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.compute import Backend
from evenkeel.infra.dtypes import Array, BoolArray, Float32Array, Int64Array, UInt64Array
from evenkeel.infra.errors import InputError
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.tables import write_table
from evenkeel.tasks.dedup.cells import MAX_SCORES
from evenkeel.tasks.dedup.config import Exclusion, IdList, NgramList, TextList, VectorList
from evenkeel.tasks.dedup.drops import EXCLUDED, Drops
from evenkeel.tasks.dedup.groups import PARTNERS
from evenkeel.tasks.dedup.ledger import ROWS_PER_GROUP
from evenkeel.tasks.dedup.lists import read_texts, vector_parts
from evenkeel.tasks.dedup.minhash import Sketches, band_hashes, choose_bands, similarities, sketches
from evenkeel.tasks.dedup.ngrams import listed_ngrams, listed_ngrams_of
from evenkeel.tasks.embed.post import normalise
from evenkeel.tasks.embed.step import embed_texts, embed_vectors
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.embed.words import word_hashes
from evenkeel.tasks.ingest.columns import hash_and_count, identities
from evenkeel.tasks.ingest.pool import Block, Pool
from evenkeel.tasks.step import Run

MAX_CHARACTERS = 262_144
ROWS_PER_PART, BYTES_PER_PART = 1 << 16, 64 << 20
EQUAL = 1 - 1e-6


class ListFacts(TypedDict):
    """What a list is, and how many rows it excludes. equal: those that are as one of the list, not only like it."""

    by: str
    uri: str | list[str]
    rows: int
    equal: int


@dataclass(frozen=True)
class Prepared:
    """A list that is ready to be matched: its arrays lie in `folder`, in parts where it is of texts or vectors."""

    config: Exclusion
    folder: str
    scratch: Path
    parts: int = 1

    def array(self, name: str, part: int = 0) -> Array:
        """Return one of the list's arrays, memory-mapped."""
        return map_array(storage.join(self.folder, str(part), f"{name}.npy"), self.scratch)

    def write(self, part: int = 0, **arrays: Array) -> None:
        """Write some of the list's arrays."""
        for name, array in arrays.items():
            write_array(storage.join(self.folder, str(part), f"{name}.npy"), array)


def excluded_rows(
    pool: Pool, vectors: Vectors, lists: list[Exclusion], folder: str, out: str, run: Run
) -> tuple[Drops, list[ListFacts]]:
    """Return the rows that a list excludes, and facts about every list.

    Writes `excluded.parquet` to the folder `out`: row_id, list (number in the recipe), by, similarity.
    Raises InputError where a list cannot be read or does not fit the pool.
    """
    prepared = [prepare(one, vectors, storage.join(folder, f"list-{number}"), run) for number, one in enumerate(lists)]
    work = sum(shard.bytes for shard in pool.shards)
    parts = run.compute.map(partial(_match_block, pool, vectors, prepared, run.compute.backend), pool.blocks, work=work)
    row_id, number, similarity = (np.concatenate(column) for column in zip(*parts, strict=True))
    by = pa.array([lists[one].by for one in number], pa.string())
    table = pa.table({"row_id": row_id, "list": number.astype(np.int32), "by": by, "similarity": similarity})
    write_table(storage.join(out, "excluded.parquet"), table, ROWS_PER_GROUP)
    first = np.unique(row_id, return_index=True)[1]
    drops = Drops.of(row_id[first], row_id[first], EXCLUDED, similarity[first])
    return drops, [
        {
            "by": one.by,
            "uri": one.uri,
            "rows": int((number == place).sum()),
            "equal": int((similarity[number == place] >= EQUAL).sum()),
        }
        for place, one in enumerate(lists)
    ]


def prepare(config: Exclusion, vectors: Vectors, folder: str, run: Run) -> Prepared:
    """Read a list and write it to `folder` as sorted arrays."""
    prepared = Prepared(config, folder, run.scratch)
    if isinstance(config, IdList):
        parts = [identities(ids) for ids in read_texts(config, config.column, run.scratch)]
        prepared.write(identities=np.unique(np.concatenate([np.empty(0, np.uint64), *parts])))
    elif isinstance(config, VectorList):
        written = 0
        for found in _reference_vectors(config, vectors, run):
            prepared.write(written, vectors=found)
            written += 1
        prepared = replace(prepared, parts=written)
    elif isinstance(config, NgramList):
        texts = pa.chunked_array(
            [chunk for part in read_texts(config, config.column, run.scratch) for chunk in part.chunks], pa.string()
        )
        words, offsets = word_hashes(texts, MAX_CHARACTERS)
        ngrams = listed_ngrams(words, offsets, config.words, config.min_words)
        prepared.write(0, lengths=np.array(list(ngrams), np.int64), **{f"ngrams-{n}": ngrams[n] for n in ngrams})
    else:
        written = 0
        for listed in _gathered(read_texts(config, config.column, run.scratch)):
            _prepare_texts(prepared, config, listed, written)
            written += 1
        prepared = replace(prepared, parts=written)
    return prepared


class Weighed(Protocol):
    """Rows that know how many bytes they are."""

    @property
    def nbytes(self) -> int:
        """Return how many bytes."""

    def __len__(self) -> int:
        """Return how many rows there are."""


Piece = TypeVar("Piece", bound=Weighed)


def _gathered(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Yield pieces of a list together, up to some ten thousand rows, or 64 MB of them; a larger piece by itself."""
    held: list[Piece] = []
    for piece in pieces:
        both = [*held, piece]
        if held and (sum(map(len, both)) > ROWS_PER_PART or sum(one.nbytes for one in both) > BYTES_PER_PART):
            yield held
            held = []
        held.append(piece)
    if held:
        yield held


def _prepare_texts(prepared: Prepared, config: TextList, parts: Iterable[pa.ChunkedArray], number: int) -> None:
    """Write hashes, buckets and sketches of the texts of a part of the list."""
    hashes = [np.empty(0, np.uint64)]
    near, bands = config.near, None if config.near is None else choose_bands(config.near.threshold, config.near.recall)
    buckets, flat, lengths = [], [np.empty(0, np.uint32)], [np.zeros(1, np.int64)]
    for texts in parts:
        hashes.append(np.unique(_text_keys(hash_and_count(texts)[0])))
        if near is not None and bands is not None:
            found, wordy = band_hashes(texts, near, bands)
            found[:, ~wordy] = np.uint64(2**64 - 1)
            sketched = sketches(texts, near)
            buckets.append(found)
            flat.append(sketched.hashes)
            lengths.append(np.diff(sketched.offsets))
    prepared.write(number, hashes=np.unique(np.concatenate(hashes)))
    if bands is not None:
        whole = np.concatenate([np.empty((bands.bands, 0), np.uint64), *buckets], axis=1)
        order = np.argsort(whole, axis=1, kind="stable")
        ends = np.cumsum(np.concatenate(lengths))
        prepared.write(
            number,
            buckets=np.take_along_axis(whole, order, axis=1),
            texts=order,
            sketches=np.concatenate(flat),
            offsets=ends,
        )


def _reference_vectors(config: VectorList, vectors: Vectors, run: Run) -> Iterator[Float32Array]:
    """Yield the vectors of a list some at a time, scaled to length 1, by the map that made those of the pool."""
    parts: Iterator[Float32Array]
    if config.text is None:
        raw = vector_parts(config, config.column, run.scratch)
        parts = (np.asarray(embed_vectors(vectors, part, run), np.float32) for part in raw)
    else:
        parts = (embed_texts(vectors, texts, run) for texts in read_texts(config, config.text, run.scratch))
    for pieces in _gathered(parts):
        found = np.concatenate(pieces)
        if len(found) and found.shape[1] != vectors.dimension:
            raise InputError(
                "the vectors of an exclusion list are not of the pool's dimension",
                expected=f"{vectors.dimension} dimensions",
                found=f"{found.shape[1]}",
                where=str(config.uri),
                remedy="embed the list with the model of the pool",
            )
        yield normalise(found)


def _match_block(
    pool: Pool, vectors: Vectors, lists: list[Prepared], backend: Backend, block: Block
) -> tuple[UInt64Array, Int64Array, Float32Array]:
    """Return the excluded rows of a block: row id, number of the list, similarity."""
    table = pool.table(block, ["row_id", "identity", "text_hash"])
    row_ids = table["row_id"].to_numpy()
    found = []
    for one in lists:
        if isinstance(one.config, IdList):
            taken_down = np.flatnonzero(find_sorted(one.array("identities"), table["identity"].to_numpy())[1])
            found.append((taken_down, np.ones(len(taken_down), np.float32)))
        elif isinstance(one.config, VectorList):
            found.append(_similar_vectors(one, one.config.similarity, vectors.block(block)))
        elif not pool.has_text:
            raise InputError(
                f"an exclusion list by {one.config.by} needs texts, and the source has none",
                where="dedup.exclude",
                remedy="name the column: source.text",
            )
        elif isinstance(one.config, NgramList):
            listed = {int(length): np.asarray(one.array(f"ngrams-{length}")) for length in one.array("lengths")}
            counts = listed_ngrams_of(pool.text(block), MAX_CHARACTERS, listed, backend)
            sharing = np.flatnonzero(counts >= one.config.min_shared)
            found.append((sharing, np.ones(len(sharing), np.float32)))
        else:
            found.append(_similar_texts(one, one.config, table["text_hash"], pool.text(block), backend))
    rows = np.concatenate([rows for rows, _ in found])
    number = np.repeat(np.arange(len(lists)), [len(rows) for rows, _ in found])
    return row_ids[rows], number, np.concatenate([similarity for _, similarity in found])


def _similar_texts(
    one: Prepared, config: TextList, hashes: pa.ChunkedArray, texts: pa.ChunkedArray, backend: Backend
) -> tuple[Int64Array, Float32Array]:
    """Return the rows whose text equals or nearly equals one of the list, and how similar they are."""
    similarity, keys, near = np.zeros(len(texts), np.float32), _text_keys(hashes), config.near
    bands = None if near is None else choose_bands(near.threshold, near.recall)
    banded = None if near is None or bands is None else band_hashes(texts, near, bands, backend)
    for part in range(one.parts):
        similarity[find_sorted(one.array("hashes", part), keys)[1]] = 1
        if near is None or banded is None or len(one.array("offsets", part)) == 1:
            continue
        rows, references = _candidate_pairs(one, part, *banded)
        found = np.empty(len(rows), np.float32)
        listed = Sketches(np.asarray(one.array("sketches", part)), np.asarray(one.array("offsets", part)))
        similarities(sketches(texts.take(pa.array(rows)), near), np.arange(len(rows)), listed, references, found)
        like = found >= near.threshold
        np.maximum.at(similarity, rows[like], found[like])
    excluded = np.flatnonzero(similarity)
    return excluded, similarity[excluded]


def _candidate_pairs(one: Prepared, part: int, buckets: UInt64Array, wordy: BoolArray) -> tuple[Int64Array, Int64Array]:
    """Return pairs (row, text of a part of the list) that share a bucket, with at most 32 texts of a bucket."""
    listed, places = one.array("buckets", part), one.array("texts", part)
    pairs = []
    for band in range(len(buckets)):
        first = np.searchsorted(listed[band], buckets[band])
        last = np.searchsorted(listed[band], buckets[band], side="right")
        for step in range(min(PARTNERS, int((last - first).max(initial=0)))):
            rows = np.flatnonzero((first + step < last) & wordy)
            pairs.append(np.stack([rows, places[band][first[rows] + step]], axis=1))
    distinct = np.unique(np.concatenate([np.empty((0, 2), np.int64), *pairs]), axis=0)
    return np.ascontiguousarray(distinct[:, 0]), np.ascontiguousarray(distinct[:, 1])


def _similar_vectors(one: Prepared, threshold: float, stored: Array) -> tuple[Int64Array, Float32Array]:
    """Return the rows whose cosine with a vector of the list reaches the threshold, and the largest cosine of each."""
    similarity = np.full(len(stored), -1, np.float32)
    for number in range(one.parts):
        listed = np.asarray(one.array("vectors", number))
        chunk = max(1, MAX_SCORES // max(len(listed), 1))
        for start in range(0, len(stored) if len(listed) else 0, chunk):
            part = slice(start, start + chunk)
            np.maximum(similarity[part], (normalise(stored[part]) @ listed.T).max(axis=1), out=similarity[part])
    excluded = np.flatnonzero(similarity >= np.float32(threshold) - np.float32(1e-6))
    return excluded, np.clip(similarity[excluded], 0, 1)


def _text_keys(hashes: pa.Array | pa.ChunkedArray) -> UInt64Array:
    """Return the first 64 bits of 128-bit hashes of texts."""
    return np.frombuffer(b"".join(hashes.to_pylist()), np.uint64)[::2]
