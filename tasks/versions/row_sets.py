"""Sets of rows by name, summed up in the vectors and clusters of one version's pool, so that they can be compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float32Array, Int64Array, UInt64Array
from evenkeel.infra.errors import InputError
from evenkeel.infra.hashing import uniform
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.distance.elsewhere import sum_parts
from evenkeel.tasks.distance.halves import HALVES, with_halves
from evenkeel.tasks.distance.rows import MOST_ROWS, SAMPLE_SEED, sum_rows
from evenkeel.tasks.distance.space import Space
from evenkeel.tasks.distance.sums import SetSummary, SetSums
from evenkeel.tasks.embed.step import embed_texts, map_fingerprint
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.columns import NO_GROUP
from evenkeel.tasks.measure.churn import sketch, smallest
from evenkeel.tasks.measure.joint import copies_of
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions.own_steps import require_steps


class RowSet(NamedTuple):
    """A set of rows that was summed up. sums: of the set and eight halves of it, over a sample of at most 32,768 rows.

    rows: of the whole set, with copies. leaves: (leaves,) int64, of them in each leaf. hashes: (n,) uint64, of the
    sampled rows' identities, where they have any. share: of the rows that were sampled.
    """

    name: str
    rows: int
    sums: SetSums
    leaves: Int64Array
    hashes: UInt64Array
    share: float

    @property
    def summary(self) -> SetSummary:
        """The sums of the set itself."""
        return self.sums.summary(0)


@dataclass(frozen=True)
class Members:
    """Which rows of a clustered pool a set has: those of a version, of a group value, of some shards, or all."""

    sample: str = ""
    column: str = ""
    value: str = ""
    shards: frozenset[int] | None = None

    def columns(self) -> list[str]:
        """Return the columns of the row table that say so."""
        return [self.column] if self.column else ["shard"] if self.shards is not None else []

    def copies(self, table: pa.Table) -> Int64Array:
        """Return how often each row of a block is in the set, (n,) int64."""
        if self.sample:
            return copies_of(table["row_id"].to_numpy(), self.sample)
        found = np.ones(table.num_rows, bool)
        if self.column:
            found = pc.equal(pc.fill_null(table[self.column], NO_GROUP), self.value).to_numpy()
        if self.shards is not None:
            found = np.isin(table["shard"].to_numpy(), list(self.shards))
        return found.astype(np.int64)


@dataclass(frozen=True)
class Frame:
    """The clustered pool of a version, in whose vectors and clusters sets of rows are compared.

    steps: of the version, by name. folder: for files that workers read while a set is summed up.
    """

    steps: Mapping[str, StepRef]
    rows: CandidateRows
    vectors: Vectors
    hierarchy: Hierarchy
    space: Space
    folder: str
    run: Run

    @classmethod
    def of(cls, steps: Mapping[str, StepRef], what: str, folder: str, run: Run) -> "Frame":
        """Open the pool that a version was made of. Raises StorageError where its steps are gone from the workspace."""
        require_steps(steps, what)
        vectors, hierarchy = Vectors.open(steps["embed"], run.scratch), Hierarchy.open(steps["cluster"])
        if not hierarchy.leaves:
            raise InputError(f"the pool of {what} has no rows to compare", where=steps["cluster"].uri)
        space = Space.of(hierarchy, map_fingerprint(vectors, run))
        return cls(steps, candidates(steps, run), vectors, hierarchy, space, folder, run)

    def of_pool(self, name: str, members: Members) -> RowSet:
        """Sum up rows of this pool. Raises InputError where there are none."""
        leaves, hashes = self._counted(members)
        rows = int(leaves.sum())
        if not rows:
            raise InputError(f"{name} has no rows in this pool", where=self.steps["ingest"].uri)
        share = min(1.0, MOST_ROWS / rows)
        sums = sum_rows(
            self.rows,
            self.vectors,
            _Sampled(members, share),
            1 + HALVES,
            self.space,
            storage.join(self.folder, "space"),
            self.run,
            columns=members.columns(),
            signed=1,
        )
        return RowSet(name, rows, sums, leaves, hashes, share)

    def of_target(self, name: str, target: TargetSet) -> RowSet:
        """Sum up rows of files. Raises InputError where they are missing, empty, or not embedded as the pool is."""
        parts = target.vectors(self.vectors, self.run)
        sums, leaves = sum_parts(parts, self.space, self.hierarchy, storage.join(self.folder, "index"), self.run)
        return RowSet(name, int(sums.rows[0]), sums, leaves, np.empty(0, np.uint64), 1.0)

    def of_version(self, name: str, steps: Mapping[str, StepRef]) -> RowSet:
        """Sum up the rows of a version, perhaps of another pool; its texts are embedded by this pool's map if need be.

        Raises StorageError where its steps are gone, InputError where its vectors cannot be compared.
        """
        if all(steps[step].key == self.steps[step].key for step in ("ingest", "embed", "cluster")):
            return self.of_pool(name, Members(sample=steps["sample"].uri))
        require_steps(steps, name)
        share = min(1.0, MOST_ROWS / max(steps["sample"].counts["kept"], 1))
        seen: list[UInt64Array] = []
        parts = self._elsewhere(name, steps, share, seen)
        sums, leaves = sum_parts(parts, self.space, self.hierarchy, storage.join(self.folder, "index"), self.run)
        if not sums.rows[0]:
            raise InputError(f"{name} has no rows", where=steps["sample"].uri)
        return RowSet(name, steps["sample"].counts["copies"], sums, leaves, np.concatenate(seen), share)

    def _elsewhere(
        self, name: str, steps: Mapping[str, StepRef], share: float, seen: list[UInt64Array]
    ) -> Iterator[Float32Array]:
        """Yield the vectors of a version of another pool, a block at a time; `seen` gets the hashes of its rows."""
        theirs, vectors = candidates(steps, self.run), Vectors.open(steps["embed"], self.run.scratch)
        same = map_fingerprint(vectors, self.run) == self.space.map
        if not same and not theirs.pool.has_text:
            raise InputError(
                f"{name} cannot be compared: its vectors were made by another map, and it has no texts to embed again",
                where=steps["embed"].uri,
                remedy="compare versions that were embedded alike",
            )
        for block in theirs.blocks:
            table = theirs.table(block, ["identity"])
            identity, row_id = table["identity"].to_numpy(), table["row_id"].to_numpy()
            copies = np.where(uniform(SAMPLE_SEED, identity) < share, copies_of(row_id, steps["sample"].uri), 0)
            used = np.flatnonzero(copies)
            if not len(used):
                continue
            place = np.searchsorted(theirs.pool.table(block, ["row_id"])["row_id"].to_numpy(), row_id[used])
            texts = None if same else theirs.pool.text(block).take(pa.array(place))
            found = vectors.block(block)[place] if texts is None else embed_texts(self.vectors, texts, self.run)
            seen.append(sketch(identity[used], MOST_ROWS))
            yield np.repeat(np.asarray(found, np.float32), copies[used], axis=0)

    def _counted(self, members: Members) -> tuple[Int64Array, UInt64Array]:
        """Return the rows in every leaf, and the smallest hashes of their identities."""
        found = self.run.compute.reduce(
            partial(_count, self.rows, members, self.hierarchy.leaves),
            _added,
            self.rows.blocks,
            work=self.rows.pool.rows * 24,
        )
        return found if found is not None else (np.zeros(self.hierarchy.leaves, np.int64), np.empty(0, np.uint64))


@dataclass(frozen=True)
class _Sampled:
    """A share of some members, chosen by the hash of their identities, and eight halves of it."""

    members: Members
    share: float

    def __call__(self, block: str, table: pa.Table) -> Int64Array:
        identity = table["identity"].to_numpy()
        chosen = uniform(SAMPLE_SEED, identity) < self.share
        return with_halves(np.where(chosen, self.members.copies(table), 0), identity)


def candidates(steps: Mapping[str, StepRef], run: Run) -> CandidateRows:
    """Return the rows that a version was drawn from, with its signals as columns."""
    signals = {name.removeprefix("signals."): ref for name, ref in steps.items() if name.startswith("signals.")}
    return CandidateRows.open(steps["ingest"], steps["embed"], steps["cluster"], str(run.scratch), signals)


def _count(rows: CandidateRows, members: Members, leaves: int, block: str) -> tuple[Int64Array, UInt64Array]:
    table = rows.table(block, ["identity", *members.columns()])
    copies = members.copies(table)
    found = np.bincount(table["leaf"].to_numpy(), copies, leaves).astype(np.int64)
    return found, sketch(table["identity"].to_numpy()[copies > 0], MOST_ROWS)


def _added(
    one: tuple[Int64Array, UInt64Array], other: tuple[Int64Array, UInt64Array]
) -> tuple[Int64Array, UInt64Array]:
    return one[0] + other[0], smallest(np.concatenate([one[1], other[1]]), MOST_ROWS)


def shards_like(rows: CandidateRows, pattern: str) -> frozenset[int]:
    """Return the numbers of the shards whose name or place matches a pattern. Raises InputError where none does."""
    from fnmatch import fnmatch

    known: Sequence[tuple[int, str, str]] = [(one.number, one.name, one.uri) for one in rows.pool.shards]
    found = frozenset(number for number, name, uri in known if fnmatch(name, pattern) or fnmatch(uri, pattern))
    if not found:
        names = ", ".join(name for _, name, _ in known[:5]) + (" ..." if len(known) > 5 else "")
        raise InputError(
            f"no shard of the pool is called {pattern!r}",
            expected=f"a name or a pattern with *, such as {names}",
            where="source",
        )
    return found
