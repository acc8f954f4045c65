"""Join a column of files to the rows of the pool by their ids: what signals of joined numbers and labels share."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.ingest import columns
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.id_files import id_of_each_row
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.lists import fingerprint_of_files
from evenkeel.tasks.ingest.numbers import as_numbers
from evenkeel.tasks.ingest.reader import LocalShard, ShardUnreadable, read_batches
from evenkeel.tasks.ingest.source import find_shards
from evenkeel.tasks.signal.shuffle import EXAMPLES, FILE_BITS, ROWS_AT_ONCE, Doubles, Merged, Shuffle
from evenkeel.tasks.signal.signal import Fit, Numbers, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload

BATCH = 1 << 16
LIST_ROW_BYTES = 16  # the fewest that a row of a list takes in a file
COUNTED = ("matched", "without", "strays", "doubles")


class Joining(Signal):
    """A value for every row, from files that name rows by their id; Parquet, CSV or JSONL."""

    join: str | list[str] = Field(description="Files, folders or globs: Parquet, JSONL, CSV, also .gz and .zst.")
    on: str = Field("id", description="Their column with the ids of rows.")
    column: str = Field("", description="Their column with the values; empty = the name of the signal.")
    doubles: Doubles = Field(
        "fail",
        description="What an id with several different values gets; fail = the run stops and names some.",
    )
    fingerprint: str = Field("", description="Of the files as they were when the run began; filled in by the run.")

    @model_validator(mode="after")
    def _column_named(self) -> Self:
        self.column = self.column or self.name
        return self

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with the paths of its files made absolute."""
        join = [absolute(one) for one in self.join] if isinstance(self.join, list) else absolute(self.join)
        return self.model_copy(update={"join": join})

    def current(self) -> Self:
        """Return it with the fingerprint of its files as they are now. Raises InputError where there are none."""
        return self.model_copy(update={"fingerprint": fingerprint_of_files(self.files())})

    def numbers(self, column: pa.ChunkedArray, where: str) -> Numbers:
        """Return the values of a list as numbers, (n,) float64, NaN for none. Raises InputError for what is none."""
        return as_numbers(column, where)

    def passes_over(self, table: pa.Table) -> bool:
        """Return whether a file whose rows are such a table says nothing of the column, and is no mistake."""
        return False

    def files(self) -> list[ListedShard]:
        """Return the files of the list. Raises InputError where there are none."""
        return find_shards(SourceConfig(uri=self.join), f"signals, {self.name}, join")

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Bring the list and the pool together; return how many rows and ids met, and the first that did not.

        Raises InputError where nothing met, where an id has several values, and where the list cannot be read.
        """
        files = self.files()
        if self.fingerprint not in ("", fingerprint_of_files(files)):
            raise InputError(
                "files of a list have changed since the run began", where=f"signals, {self.name}", remedy="run again"
            )
        size = sum(file.bytes for file in files)
        shuffle = Shuffle.plan(source.pool, folder, size // LIST_ROW_BYTES)
        work = size + source.pool.rows * 64
        read = run.compute.map(partial(self._read, shuffle, str(run.scratch)), list(enumerate(files)), work=work)
        run.compute.map(shuffle.save_pool, range(len(shuffle.runs)), work=work)
        pieces = [piece for one in read for piece in one.pieces]
        run.progress(0.2, f"{self.name}: merging {sum(one.rows for one in read):,} rows by id")
        merged = run.compute.map(partial(shuffle.merge, pieces, self.doubles), range(shuffle.ranges), work=work)
        self._refuse(read, merged, source, files, run.scratch)
        run.compute.map(shuffle.gather, range(len(shuffle.runs)), work=work)
        shuffle.clear()
        counts = {
            name: sum(getattr(one, name) for one in merged) for name in ("matched", "without", "strays", "doubles")
        }
        strays = [place for one in merged for place in one.stray_places][:EXAMPLES]
        return {
            "listed": sum(one.rows for one in read),
            **counts,
            "misses": source.pool.rows - counts["matched"],
            "examples_of_strays": [self._named(place, files, run.scratch) for place in strays],
        }

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Numbers:
        """Return the joined values of a block."""
        values: Numbers = read_array(storage.join(fit.folder, "values", f"{block}.npy"))
        return values

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a list as long as the pool."""
        return 0.02 + 2e-6 * work.rows

    def _read(self, shuffle: Shuffle, scratch: str, numbered: tuple[int, ListedShard]) -> "_ReadFile":
        """Cut one file of the list into pieces of bounded size, by range of the hash."""
        number, file = numbered
        rows, pieces, examples = 0, list[str](), list[str]()
        held: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

        def save() -> None:
            pieces.append(f"{number:06d}-{len(pieces):04d}")
            shuffle.save_list(pieces[-1], *(np.concatenate(part) for part in zip(*held, strict=True)))
            held.clear()

        for at, ids, values in self.rows_of(file, Path(scratch)):
            place = np.uint64(number << FILE_BITS) | at.astype(np.uint64)
            held.append((columns.identities(ids), values, place))
            rows += len(ids)
            examples = examples or ids[:EXAMPLES].to_pylist()
            if sum(len(part[0]) for part in held) >= ROWS_AT_ONCE:
                save()
        if held:
            save()
        return _ReadFile(rows, pieces, examples)

    def rows_of(self, file: ListedShard, scratch: Path) -> "Iterator[tuple[np.ndarray, pa.ChunkedArray, Numbers]]":
        """Yield numbers of rows, ids and values of a file. Raises InputError for what cannot be read as such."""
        try:
            for batch in read_batches(file.format, LocalShard(storage.local_copy(file.uri, scratch), BATCH)):
                for row, why in batch.rejects[:1]:
                    raise InputError("a row of the list does not parse", found=why, where=f"{file.uri}, row {row:,}")
                if self.passes_over(batch.table):
                    break
                for name in (self.on, self.column):
                    if name not in batch.table.column_names:
                        raise InputError(
                            f"the list has no column {name!r}",
                            expected=f"one of {', '.join(batch.table.column_names)}",
                            where=file.uri,
                            remedy=f"name it: signals, {self.name}, {'on' if name == self.on else 'column'}",
                        )
                if batch.table.num_rows:
                    ids = id_of_each_row(batch.table[self.on], file.uri, int(batch.rows[0]))
                    yield batch.rows, ids, self.numbers(batch.table[self.column], f"{file.uri}, column {self.column}")
        except ShardUnreadable as error:
            raise InputError("a list of values cannot be read", found=str(error), where=file.uri) from error

    def _refuse(
        self,
        read: "list[_ReadFile]",
        merged: list[Merged],
        source: SignalSource,
        files: list[ListedShard],
        scratch: Path,
    ) -> None:
        conflicts = sum(one.conflicts for one in merged)
        if conflicts and self.doubles == "fail":
            places = [place for one in merged for place in one.conflict_places][:EXAMPLES]
            raise InputError(
                f"{conflicts:,} row(s) of the list give an id another value than a row before",
                found="; ".join(self._named(place, files, scratch) for place in places),
                where=f"signals, {self.name}",
                remedy="correct the list, or say which value counts: doubles: first, last or mean",
            )
        if source.pool.rows and not any(one.matched for one in merged):
            ours = source.pool.table(source.blocks[0], ["id"])["id"][:EXAMPLES].to_pylist()
            theirs = next((one.examples for one in read if one.examples), [])
            raise InputError(
                f"no id of the list is in the pool, so the signal {self.name} has no value at all",
                expected=f"ids as in the pool: {', '.join(map(repr, ours))}",
                found=f"column {self.on!r}: {', '.join(map(repr, theirs))}" if theirs else "no row at all",
                where=", ".join(file.uri for file in files[:EXAMPLES]),
                remedy="name the column with the ids (on), or write them as the source does (source.id)",
            )

    def _named(self, place: int, files: list[ListedShard], scratch: Path) -> str:
        """Return the id, file and row of a place in the list."""
        file, row = files[place >> FILE_BITS], place & ((1 << FILE_BITS) - 1)
        for rows, ids, _ in self.rows_of(file, scratch):
            if row <= rows[-1]:
                return f"{ids[int(np.searchsorted(rows, row))].as_py()!r} ({file.name}, row {row:,})"
        return f"{file.name}, row {row:,}"


class _ReadFile(NamedTuple):
    """Rows of a file, the pieces that they went into, and its first ids."""

    rows: int
    pieces: list[str]
    examples: list[str]
