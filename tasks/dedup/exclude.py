"""Rows that must not be in the dataset: the pool held against lists of ids, texts, n-grams and vectors.

Every list is prepared once into sorted arrays; every block of the pool is then held against all lists in one pass.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import write_table
from evenkeel.tasks.dedup.config import Exclusion, IdList, NearConfig, NgramList, TextList, VectorList
from evenkeel.tasks.dedup.drops import EXCLUDED, ROWS_PER_GROUP, Drops
from evenkeel.tasks.dedup.groups import PARTNERS
from evenkeel.tasks.dedup.lists import read_texts, read_vectors
from evenkeel.tasks.dedup.minhash import band_hashes, choose_bands, similarities, sketches
from evenkeel.tasks.dedup.ngrams import ngram_hashes, shared_ngrams
from evenkeel.tasks.embed.post import normalise
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.embed.words import word_hashes
from evenkeel.tasks.ingest.columns import hash_and_count, identities
from evenkeel.tasks.ingest.pool import Block, Pool
from evenkeel.tasks.step import Run

LONGEST = 262_144
SCORES_AT_A_TIME = 1 << 25
Rows = npt.NDArray[np.int64]
Alike = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prepared:
    """A list made ready: its arrays lie in `folder`."""

    config: Exclusion
    folder: str
    scratch: Path

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return one of the list's arrays, memory-mapped."""
        return map_array(storage.join(self.folder, f"{name}.npy"), self.scratch)

    def write(self, **arrays: npt.NDArray[Any]) -> None:
        """Write some of the list's arrays."""
        for name, array in arrays.items():
            write_array(storage.join(self.folder, f"{name}.npy"), array)


def excluded_rows(
    pool: Pool, vectors: Vectors, lists: list[Exclusion], folder: str, out: str, run: Run
) -> tuple[Drops, list[dict[str, Any]]]:
    """Return the rows that a list excludes, and per list what it is and how many rows it excludes.

    Writes `excluded.parquet` to the folder `out`: row_id, list (number in the recipe), by, similarity.
    Raises InputError where a list cannot be read or does not fit the pool.
    """
    prepared = [prepare(one, vectors, storage.join(folder, f"list-{number}"), run) for number, one in enumerate(lists)]
    work = sum(shard.bytes for shard in pool.shards)
    parts = run.compute.map(partial(_hold_block, pool, vectors, prepared), pool.blocks, work=work)
    row_id, number, alike = (np.concatenate(column) for column in zip(*parts, strict=True))
    by = pa.array([lists[one].by for one in number], pa.string())
    table = pa.table({"row_id": row_id, "list": number.astype(np.int32), "by": by, "similarity": alike})
    write_table(storage.join(out, "excluded.parquet"), table, ROWS_PER_GROUP)
    first = np.unique(row_id, return_index=True)[1]
    drops = Drops.of(row_id[first], row_id[first], EXCLUDED, alike[first])
    return drops, [
        {"by": one.by, "uri": one.uri, "rows": int((number == place).sum())} for place, one in enumerate(lists)
    ]


def prepare(config: Exclusion, vectors: Vectors, folder: str, run: Run) -> Prepared:
    """Read a list and leave it in `folder` as sorted arrays."""
    prepared = Prepared(config, folder, run.scratch)
    if isinstance(config, IdList):
        parts = [identities(ids) for ids in read_texts(config, config.column, run.scratch)]
        prepared.write(identities=np.unique(np.concatenate([np.empty(0, np.uint64), *parts])))
    elif isinstance(config, VectorList):
        prepared.write(vectors=_reference_vectors(config, vectors, run))
    else:
        texts = pa.chunked_array(
            [chunk for part in read_texts(config, config.column, run.scratch) for chunk in part.chunks], pa.string()
        )
        _prepare_texts(prepared, config, texts)
    return prepared


def _prepare_texts(prepared: Prepared, config: TextList | NgramList, texts: pa.ChunkedArray) -> None:
    if isinstance(config, NgramList):
        words, offsets = word_hashes(texts, LONGEST)
        runs = ngram_hashes(words, offsets, config.words, config.min_words)
        prepared.write(widths=np.array(list(runs), np.int64), **{f"runs-{width}": runs[width] for width in runs})
        return
    prepared.write(hashes=np.unique(_text_keys(hash_and_count(texts)[0])))
    if config.near is not None:
        buckets, wordy = band_hashes(texts, config.near, choose_bands(config.near.threshold, config.near.recall))
        buckets[:, ~wordy] = np.uint64(2**64 - 1)
        order = np.argsort(buckets, axis=1, kind="stable")
        flat, offsets = sketches(texts, config.near)
        prepared.write(buckets=np.take_along_axis(buckets, order, axis=1), texts=order, sketches=flat, offsets=offsets)


def _reference_vectors(config: VectorList, vectors: Vectors, run: Run) -> npt.NDArray[np.float32]:
    """Return the vectors of a list, scaled to length 1; its texts are embedded as the pool's were."""
    if config.text is None:
        found = read_vectors(config, config.column, run.scratch)
    else:
        from evenkeel.tasks.embed.step import embed_texts

        parts = [embed_texts(vectors, texts, run) for texts in read_texts(config, config.text, run.scratch)]
        found = np.concatenate([np.empty((0, vectors.dimension), np.float32), *parts])
    if len(found) and found.shape[1] != vectors.dimension:
        raise InputError(
            "the vectors of an exclusion list are not like the pool's",
            expected=f"{vectors.dimension} dimensions",
            found=f"{found.shape[1]}",
            where=str(config.uri),
            remedy="embed the list with the model of the pool",
        )
    return normalise(found)


def _hold_block(
    pool: Pool, vectors: Vectors, lists: list[Prepared], block: Block
) -> tuple[npt.NDArray[np.uint64], Rows, Alike]:
    """Return the excluded rows of a block: row id, number of the list, similarity."""
    table = pool.table(block, ["row_id", "identity", "text_hash"])
    row_ids = table["row_id"].to_numpy()
    found = []
    for one in lists:
        if isinstance(one.config, IdList):
            listed = _among(one.array("identities"), table["identity"].to_numpy())
            found.append((listed, np.ones(len(listed), np.float32)))
        elif isinstance(one.config, VectorList):
            found.append(_alike_vectors(one, one.config.similarity, vectors.block(block)))
        elif not pool.has_text:
            raise InputError(
                f"an exclusion list by {one.config.by} needs texts, and the source has none",
                where="dedup.exclude",
                remedy="name the column: source.text",
            )
        elif isinstance(one.config, NgramList):
            words, offsets = word_hashes(pool.text(block), LONGEST)
            runs = {int(width): np.asarray(one.array(f"runs-{width}")) for width in one.array("widths")}
            sharing = np.flatnonzero(shared_ngrams(words, offsets, runs) >= one.config.min_shared)
            found.append((sharing, np.ones(len(sharing), np.float32)))
        else:
            found.append(_alike_texts(one, one.config, table["text_hash"], pool.text(block)))
    rows = np.concatenate([rows for rows, _ in found])
    number = np.repeat(np.arange(len(lists)), [len(rows) for rows, _ in found])
    return row_ids[rows], number, np.concatenate([alike for _, alike in found])


def _alike_texts(
    one: Prepared, config: TextList, hashes: pa.ChunkedArray, texts: pa.ChunkedArray
) -> tuple[Rows, Alike]:
    alike = np.zeros(len(texts), np.float32)
    alike[_among(one.array("hashes"), _text_keys(hashes))] = 1
    if config.near is not None and len(one.array("offsets")) > 1:
        rows, references = _meetings(one, config.near, texts)
        flat, offsets = sketches(texts.take(pa.array(rows)), config.near)
        found = np.empty(len(rows), np.float32)
        listed, ends = np.asarray(one.array("sketches")), np.asarray(one.array("offsets"))
        similarities(flat, offsets, np.arange(len(rows)), listed, ends, references, found)
        near = found >= config.near.threshold
        np.maximum.at(alike, rows[near], found[near])
    excluded = np.flatnonzero(alike)
    return excluded, alike[excluded]


def _meetings(one: Prepared, near: NearConfig, texts: pa.ChunkedArray) -> tuple[Rows, Rows]:
    """Return pairs (row, text of the list) that share a bucket; at most 32 of the list per bucket."""
    buckets, wordy = band_hashes(texts, near, choose_bands(near.threshold, near.recall))
    listed, places = one.array("buckets"), one.array("texts")
    pairs = []
    for band in range(len(buckets)):
        first = np.searchsorted(listed[band], buckets[band])
        last = np.searchsorted(listed[band], buckets[band], side="right")
        for step in range(min(PARTNERS, int((last - first).max(initial=0)))):
            rows = np.flatnonzero((first + step < last) & wordy)
            pairs.append(np.stack([rows, places[band][first[rows] + step]], axis=1))
    distinct = np.unique(np.concatenate([np.empty((0, 2), np.int64), *pairs]), axis=0)
    return np.ascontiguousarray(distinct[:, 0]), np.ascontiguousarray(distinct[:, 1])


def _alike_vectors(one: Prepared, least: float, stored: npt.NDArray[Any]) -> tuple[Rows, Alike]:
    listed = np.asarray(one.array("vectors"))
    alike = np.full(len(stored), -1, np.float32)
    chunk = max(1, SCORES_AT_A_TIME // max(len(listed), 1))
    for start in range(0, len(stored) if len(listed) else 0, chunk):
        part = slice(start, start + chunk)
        alike[part] = (normalise(stored[part]) @ listed.T).max(axis=1)
    excluded = np.flatnonzero(alike >= np.float32(least) - np.float32(1e-6))
    return excluded, np.clip(alike[excluded], 0, 1)


def _text_keys(hashes: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return the first 64 bits of 128-bit hashes of texts."""
    return np.frombuffer(b"".join(hashes.to_pylist()), np.uint64)[::2]


def _among(listed: npt.NDArray[np.uint64], values: npt.NDArray[np.uint64]) -> Rows:
    """Return where `values` are on a sorted list."""
    if not len(listed):
        return np.empty(0, np.int64)
    at = np.minimum(np.searchsorted(listed, values), len(listed) - 1)
    return np.flatnonzero(listed[at] == values)
