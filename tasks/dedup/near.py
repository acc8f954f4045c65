"""Near-duplicates of texts over the whole pool, out of core: hash, pair, verify, choose.

1. Every block leaves its rows' buckets, sorted, a section for each band and range. 2. Every (band, range of buckets) is
gathered from the sections of all blocks; rows that share a bucket become pairs. 3. Pairs are verified on sketches of
their shingles. 4. One row of each group is kept. Nothing depends on the number of workers; the memory of the driver
grows with the pairs, not the pool.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.compute import Backend
from evenkeel.infra.dtypes import Array, Float32Array, Int64Array, UInt64Array
from evenkeel.infra.sections import read_sections, write_sections
from evenkeel.tasks.dedup.config import NearConfig
from evenkeel.tasks.dedup.drops import NEAR, Drops
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.groups import bucket_pairs, direct_representatives, linked_representatives
from evenkeel.tasks.dedup.minhash import Bands, Sketches, band_hashes, choose_bands, similarities, sketches
from evenkeel.tasks.dedup.ranges import cut_by_range
from evenkeel.tasks.dedup.rank import keep_priority, rank_columns
from evenkeel.tasks.dedup.stage import Stage
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.step import Run

BUCKET = np.dtype([("bucket", "<u8"), ("row", "<u4")])
RANK = np.dtype([("priority", "<u4"), ("identity", "<u8"), ("row_id", "<u8")])
ROWS_PER_RANGE = 1 << 24  # fewer where the process has less memory
ROW_BYTES = 64  # of a range: bucket and row, put together, sorted, and their order


@dataclass(frozen=True)
class _Near:
    """What every task of the search is given. Rows are numbered through the pool: `starts[b]` is block b's first."""

    pool: Pool
    config: NearConfig
    bands: Bands
    ranges: int
    folder: str
    scratch: Path
    starts: tuple[int, ...]
    backend: Backend

    def path(self, part: str, block: int) -> str:
        return storage.join(self.folder, part, f"{self.pool.blocks[block].name}.npy")

    def buckets(self, block: int) -> str:
        """Return the file of the buckets of a block: sections of `BUCKET`, band by band, in each range by range."""
        return storage.join(self.folder, f"buckets-{self.ranges}", f"{self.pool.blocks[block].name}.bin")

    def array(self, part: str, block: int) -> Array:
        return map_array(self.path(part, block), self.scratch)


def near_duplicates(stage: Stage, config: NearConfig, run: Run) -> tuple[Drops, dict[str, object]]:
    """Return near-duplicates with their representatives, and facts."""
    pool = stage.pool
    bands = choose_bands(config.threshold, config.recall)
    starts = np.cumsum([0, *(block.rows for block in pool.blocks)], dtype=np.int64)
    work = sum(shard.bytes for shard in pool.shards)
    ranges = -(-pool.rows // run.compute.rows_of_a_task(work, ROW_BYTES, ROWS_PER_RANGE))
    near = _Near(pool, config, bands, ranges, stage.folder, run.scratch, tuple(starts.tolist()), run.compute.backend)
    blocks = range(len(pool.blocks))

    run.progress(0.1, "near-duplicates: hashing texts")
    run.compute.map(partial(_hash_block, near, rank_columns(pool, stage.best), stage.before), blocks, work=work)
    run.progress(0.5, "near-duplicates: gathering buckets")
    parts = run.compute.map(partial(_pairs_of_range, near), list(product(range(bands.bands), range(ranges))), work=work)
    pairs = _distinct(parts)
    run.progress(0.7, f"near-duplicates: verifying {len(pairs):,} pairs")
    found = _verify(near, pairs, "pairs", run)
    similar = found >= config.threshold
    drops = _choose(near, pairs[similar], found[similar], run)
    facts: dict[str, object] = {
        "bands": bands.bands,
        "rows": bands.rows,
        "pairs": len(pairs),
        "pairs_verified": int(similar.sum()),
        "probability_at_threshold": round(bands.probability(config.threshold), 4),
    }
    return drops, facts


def _hash_block(near: _Near, columns: Sequence[str], before: Duplicates, block: int) -> None:
    """Write the sorted buckets of each band, of the rows with words, and the ranks of the block's rows."""
    if storage.exists(near.buckets(block)) and storage.exists(near.path("ranks", block)):
        return
    table = near.pool.table(near.pool.blocks[block], columns)
    ranks = np.empty(table.num_rows, RANK)
    ranks["priority"] = keep_priority(table, columns)
    ranks["identity"] = table["identity"].to_numpy()
    ranks["row_id"] = table["row_id"].to_numpy()
    hashes, wordy = band_hashes(near.pool.text(near.pool.blocks[block]), near.config, near.bands, near.backend)
    rows = np.flatnonzero(wordy & before.kept(ranks["row_id"]))
    hashes = hashes[:, rows]
    order = np.argsort(hashes, axis=1, kind="stable")
    buckets = np.empty(hashes.shape, BUCKET)
    buckets["bucket"] = np.take_along_axis(hashes, order, axis=1)
    buckets["row"] = rows[order]
    write_array(near.path("ranks", block), ranks)
    sections = [part for band in buckets for part in cut_by_range(band, "bucket", near.ranges)]
    write_sections(near.buckets(block), sections)


def _pairs_of_range(near: _Near, part: tuple[int, int]) -> Int64Array:
    """Return distinct pairs of rows, (pairs, 2) int64, better row first, that share a bucket of one band and range."""
    band, range_ = part
    section, buckets, rows = band * near.ranges + range_, [], []
    for block, start in enumerate(near.starts[:-1]):
        found = np.frombuffer(read_sections(near.buckets(block), section, section + 1)[0], BUCKET)
        buckets.append(found["bucket"])
        rows.append(found["row"].astype(np.int64) + start)
    bucket, row = np.concatenate(buckets), np.concatenate(rows)
    order = np.argsort(bucket, kind="stable")
    bucket, row = bucket[order], row[order]
    equal = bucket[1:] == bucket[:-1]
    shared = np.append(equal, False) | np.append(False, equal)
    bucket, row = bucket[shared], row[shared]
    ranks = _ranks(near, row)
    order = np.lexsort((row, ranks["identity"], ranks["priority"], bucket))
    return _distinct([bucket_pairs(bucket[order], row[order])])


def _verify(near: _Near, pairs: Int64Array, part: str, run: Run) -> Float32Array:
    """Return the similarity of every pair, (pairs,) float32."""
    starts = np.array(near.starts)
    candidates = np.unique(pairs)
    cuts = np.searchsorted(candidates, starts)
    wanted = [(block, candidates[cuts[block] : cuts[block + 1]] - starts[block]) for block in range(len(starts) - 1)]
    work = sum(shard.bytes for shard in near.pool.shards)
    run.compute.map(partial(_sketch_block, near, part), [item for item in wanted if len(item[1])], work=work)
    left, right = (np.searchsorted(starts, pairs[:, side], side="right") - 1 for side in (0, 1))
    order = np.lexsort((right, left))
    edges = np.flatnonzero(np.diff(left[order], prepend=-1, append=len(starts)))
    jobs = [
        (int(left[order[first]]), right[order[first:last]], _places(candidates, cuts, pairs, order[first:last]))
        for first, last in pairwise(edges)
    ]
    parts = run.compute.map(partial(_compare, near, part), jobs, work=work)
    found = np.empty(len(pairs), np.float32)
    found[order] = np.concatenate([np.empty(0, np.float32), *parts])
    return found


def _places(candidates: Int64Array, cuts: Int64Array, pairs: Int64Array, which: Int64Array) -> Int64Array:
    """Return (n, 2) int64: where the sketches of some pairs' rows are within their blocks."""
    at = np.searchsorted(candidates, pairs[which])
    return at - cuts[np.searchsorted(cuts, at, side="right") - 1]


def _sketch_block(near: _Near, part: str, item: tuple[int, Int64Array]) -> None:
    """Write the sketches of some rows of a block: one flat array, and where each ends."""
    block, rows = item
    texts = near.pool.text(near.pool.blocks[block]).take(rows)
    found = sketches(texts, near.config)
    write_array(near.path(f"{part}-sketches", block), found.hashes)
    write_array(near.path(f"{part}-offsets", block), found.offsets)


def _compare(near: _Near, part: str, job: tuple[int, Int64Array, Int64Array]) -> Float32Array:
    """Return the similarity of pairs whose first rows lie in one block; (other block, places) come sorted by block."""
    block, others, places = job
    left = _sketches_of(near, part, block)
    found = np.empty(len(others), np.float32)
    edges = np.flatnonzero(np.diff(others, prepend=-1, append=-1))
    for first, last in pairwise(edges):
        other = int(others[first])
        mine, theirs = (np.ascontiguousarray(places[first:last, side]) for side in (0, 1))
        similarities(left, mine, _sketches_of(near, part, other), theirs, found[first:last])
    return found


def _sketches_of(near: _Near, part: str, block: int) -> Sketches:
    hashes, offsets = (np.asarray(near.array(f"{part}-{name}", block)) for name in ("sketches", "offsets"))
    return Sketches(hashes, offsets)


def _choose(near: _Near, pairs: Int64Array, found: Float32Array, run: Run) -> Drops:
    """Return the dropped rows of similar pairs, with their representatives."""
    rows = np.unique(pairs)
    ranks = _ranks(near, rows)
    order = np.lexsort((rows, ranks["identity"], ranks["priority"]))
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows))
    ends = place[np.searchsorted(rows, pairs)]
    ids: UInt64Array = ranks["row_id"][order]
    if near.config.groups == "direct":
        representative, similarity = direct_representatives(len(rows), ends, found)
    else:
        representative = linked_representatives(len(rows), ends)
        gone = np.flatnonzero(representative != np.arange(len(rows)))
        by_place = rows[order]
        similarity = np.ones(len(rows), np.float32)
        groups = np.stack([by_place[representative[gone]], by_place[gone]], axis=1)
        similarity[gone] = _verify(near, groups, "groups", run)
    gone = np.flatnonzero(representative != np.arange(len(rows)))
    return Drops.of(ids[gone], ids[representative[gone]], NEAR, similarity[gone])


def _ranks(near: _Near, rows: Int64Array) -> Array:
    """Return the ranks of some rows of the pool, in their order."""
    block = np.searchsorted(near.starts, rows, side="right") - 1
    ranks = np.empty(len(rows), RANK)
    for one in np.unique(block):
        mine = block == one
        ranks[mine] = near.array("ranks", int(one))[rows[mine] - near.starts[one]]
    return ranks


def _distinct(parts: Sequence[Int64Array]) -> Int64Array:
    """Return the distinct pairs of all parts, sorted."""
    pairs = np.concatenate([np.empty((0, 2), np.int64), *parts])
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    new = np.ones(len(pairs), bool)
    new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return pairs[new]
