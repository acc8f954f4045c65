"""Read a batch of damaged files through ingest, and hold what comes out against the files.

A batch is 64 files, the first of them sound: read as one pack, in a process of its own as in a run. What must hold: no
exception, no hang, every row of every shard either kept or refused once, as many rows as another reading finds, with
the same values, and nothing read of a file that another reading calls damaged.
"""

import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa

from evenkeel.infra.compute import Compute
from evenkeel.tasks.ingest.pool import Pool, Shard
from tests.fuzz import peers
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import Target
from tests.ingest.pools import ingest

FILES = 64
SECONDS = 300
ISOLATED = True


class Fault(Exception):
    """Something that must not happen with any file."""


@dataclass
class Tally:
    """What became of damaged files: how many were read whole, in part or not at all, and of their rows.

    stricter: files and rows refused that another reading takes. ended: files that ended the process of their reader.
    """

    files: int = 0
    whole: int = 0
    part: int = 0
    refused: int = 0
    rows: int = 0
    kept: int = 0
    stricter: int = 0
    ended: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Add the counts of another batch."""
        for name in ("files", "whole", "part", "refused", "rows", "kept", "stricter", "ended"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.reasons.update(other.reasons)


@dataclass(frozen=True)
class Batch:
    """Files of a format: the contents, the options of the source, and the files of ids beside them."""

    target: Target
    contents: Sequence[bytes]
    options: dict[str, Any]
    ids: Sequence[tuple[str, bytes]] = ()

    @classmethod
    def drawn(cls, target: Target, seed: int, files: int = FILES) -> "Batch":
        """Return the batch of a seed; the first file is sound."""
        draw = random.Random(f"{target.name} {seed}")
        numbers = range(seed * files, (seed + 1) * files)
        contents = [target.file(numbers[0])]
        contents += [target.damaged(draw, at, [draw.choice(numbers), at + 1]) for at in numbers[1:]]
        options = dict(target.roles) if draw.random() < 0.5 else {}
        if options and draw.random() < 0.3:
            options["vector"] = "v"
            options = options if target.suffix in (".jsonl", ".parquet") else dict(target.roles)
        ids = [target.beside(at) for at in numbers] if target.beside is not None else []
        if ids and draw.random() < 0.5:
            ids[1:] = [(suffix, mutate(draw, content, [content])) for suffix, content in ids[1:]]
        return cls(target, contents, options, ids)

    def of(self, number: int) -> "Batch":
        """Return the batch of the sound file and one other alone."""
        chosen = [0, number] if number else [0]
        ids = [self.ids[at] for at in chosen] if self.ids else []
        return Batch(self.target, [self.contents[at] for at in chosen], self.options, ids)


def run(batch: Batch, folder: Path) -> Tally:
    """Read a batch below a folder, which is removed. Raises Fault."""
    place = folder / "pool"
    place.mkdir(parents=True)
    options = dict(batch.options)
    for number, content in enumerate(batch.contents):
        (place / f"{number:03d}{batch.target.suffix}{batch.target.compressed}").write_bytes(content)
    for number, (suffix, content) in enumerate(batch.ids):
        (folder / "ids").mkdir(exist_ok=True)
        (folder / "ids" / f"{number:03d}{suffix}").write_bytes(content)
        options["ids"] = [*options.get("ids", []), str(folder / "ids" / f"{number:03d}{suffix}")]
    try:
        with _limited(SECONDS):
            compute = Compute(threads=1, isolated=ISOLATED)
            pool = ingest(folder, compute, uri=str(place), max_quarantined=1.0, **options)
            return check(pool, batch)
    except Fault:
        raise
    except Exception as error:
        raise Fault(f"{type(error).__name__}: {error}"[:2000]) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check(pool: Pool, batch: Batch) -> Tally:
    """Return what became of the files of a batch. Raises Fault where a row is unaccounted or another one."""
    if len(pool.shards) != len(batch.contents):
        raise Fault(f"{len(batch.contents)} files, {len(pool.shards)} shards")
    table = pa.concat_tables([pool.table(block, ["shard", "row"]) for block in pool.blocks])
    shards, rows = table["shard"].to_numpy(), table["row"].to_numpy()
    values = _values(pool, batch.target)
    quarantine = pool.quarantine()
    bad_shards, bad_rows = quarantine["shard"].to_numpy(), quarantine["row"].to_numpy()
    tally = Tally(reasons=Counter(pool.info.reasons))
    for shard, content in zip(pool.shards, batch.contents, strict=True):
        mine = np.flatnonzero(shards == shard.number)
        bad = bad_rows[bad_shards == shard.number]
        seen = np.sort(np.concatenate([rows[mine], bad]))
        if shard.rows < 0 or not np.array_equal(seen, np.arange(shard.rows)):
            raise Fault(f"{shard.name}: {shard.rows} rows, {len(mine)} kept, {len(bad)} refused: {seen[:20]}")
        if shard.quarantined != len(bad) or (shard.reason and len(mine)):
            raise Fault(f"{shard.name}: {shard.quarantined} of {len(bad)} refused, {len(mine)} kept, {shard.reason!r}")
        found = {int(rows[at]): values[at] for at in mine} if values is not None else {}
        tally.stricter += _beside(batch.target, shard, content, rows[mine], found)
        tally.files += 1
        tally.rows += shard.rows
        tally.kept += len(mine)
        tally.ended += "its process" in shard.reason
        tally.reasons[shard.reason.partition(":")[0]] += bool(shard.reason)
        tally.whole, tally.part, tally.refused = (
            tally.whole + (not shard.reason and not len(bad)),
            tally.part + (not shard.reason and len(bad) > 0),
            tally.refused + bool(shard.reason),
        )
    if pool.shards[0].reason or pool.shards[0].quarantined:
        raise Fault(f"the sound file was not read whole: {pool.shards[0].reason}, {pool.info.reasons}")
    if (pool.info.read, pool.info.rows, pool.info.quarantined) != (tally.rows, tally.kept, tally.rows - tally.kept):
        raise Fault(f"{pool.info.read} = {pool.info.rows} + {pool.info.quarantined}, found {tally.rows}, {tally.kept}")
    return tally


def _values(pool: Pool, target: Target) -> list[Any] | None:
    """Return the values of all rows that another reading has, too, in pool order; None where there is none such."""
    if target.value == "vector":
        if not pool.has_vectors:
            return None
        return [vector for block in pool.blocks for vector in pool.vectors(block).astype(np.float64).tolist()]
    if target.value not in pool.info.payload:
        return None
    return [value for block in pool.blocks for value in pool.payload(block, [target.value])[target.value].to_pylist()]


def _beside(target: Target, shard: Shard, content: bytes, kept: Any, values: dict[int, Any]) -> int:
    """Hold a shard against another reading; return 1 where it was refused and the other reading takes it whole."""
    theirs: peers.Rows | None = None
    damage = ""
    try:
        theirs = target.peer(content)
    except Exception as error:  # whatever the libraries say of damage
        damage = f"{type(error).__name__}: {error}"
    if shard.reason:
        return int(bool(theirs) and shard.reason.startswith("unreadable") and None not in (theirs or [None]))
    if damage:
        raise Fault(f"{shard.name}: {shard.rows} rows were read of a file that another reader refuses ({damage})")
    if theirs is None:
        return 0
    if len(theirs) != shard.rows:
        raise Fault(f"{shard.name}: {shard.rows} rows, and {len(theirs)} by another reading")
    for row in kept.tolist():
        other = theirs[row]
        if other is None:
            raise Fault(f"{shard.name}: row {row} is kept, and another reader cannot parse it")
        if row in values and target.value in other and not _same(values[row], other[target.value]):
            raise Fault(f"{shard.name}: row {row} is {values[row]!r}, and {other[target.value]!r} by another reading")
    return 0


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and bool(np.allclose(ours, np.array(theirs, np.float32), rtol=1e-6, atol=0))
    if isinstance(ours, str) and isinstance(theirs, str):
        return ours == theirs
    return ours is not None or theirs in (None, "")


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Raise Fault where what is done takes longer: a hang."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Fault(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
