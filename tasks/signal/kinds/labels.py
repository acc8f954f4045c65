"""Labels that people gave to rows, joined by id from files: a group column, empty where a row has no label yet."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from pydantic import Field

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.reader import LocalShard, ShardUnreadable, read_batches
from evenkeel.tasks.signal.joining import BATCH, Joining
from evenkeel.tasks.signal.signal import Fit, Numbers
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run

NAMES = "labels.json"
MAX_LABELS = 1 << 16


class Labels(Joining):
    """The label of a row, from files that name rows by their id; rows without one have none."""

    makes_group = True

    kind: Literal["labels"] = "labels"
    name: str = Field(
        "labels", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64, description="Name of the group column."
    )
    column: str = Field("label", min_length=1, description="Their column with the labels.")
    unknown: Literal["fail", "skip"] = Field(
        "fail", description="What happens where an id is not in the pool: the run stops and names some, or goes on."
    )
    optional: bool = Field(
        False, description="Whether files without the column are passed over, as those of batches that had none."
    )

    def passes_over(self, table: pa.Table) -> bool:
        """Return whether a file without the column says nothing, and is no mistake."""
        return self.optional and self.column not in table.column_names

    def numbers(self, column: pa.ChunkedArray, where: str) -> Numbers:
        """Return a number for each label, (n,) float64, NaN for none: 52 bits of its hash."""
        labels = _texts(column).combine_chunks().dictionary_encode()
        codes = np.array([code_of(one) for one in labels.dictionary.to_pylist()], np.float64)
        place = pc.fill_null(labels.indices, -1).to_numpy(zero_copy_only=False)
        found: Numbers = np.append(codes, np.nan)[place]
        return found

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Join the labels; return what `Joining` does, and how many there are.

        Raises InputError as it does, for ids that are not in the pool, and for more than 65,536 different labels.
        """
        facts = super().fit(source, folder, run)
        if self.unknown == "fail" and (strays := int(str(facts["strays"]))):
            examples = facts["examples_of_strays"] if isinstance(facts["examples_of_strays"], list) else []
            raise InputError(
                f"{strays:,} label(s) are of rows that the pool does not have",
                expected="ids of rows in the source",
                found="; ".join(map(str, examples)),
                where=f"signals, {self.name}",
                remedy="correct the ids, or leave such labels out: unknown: skip",
            )
        files = self.files()
        parts = run.compute.map(partial(self._names, str(run.scratch)), files, work=sum(one.bytes for one in files))
        names = sorted({name for part in parts for name in part})
        if len(names) > MAX_LABELS:
            raise InputError(
                "the list has too many different labels",
                expected=f"at most {MAX_LABELS:,}",
                found=f"{len(names):,}, such as {names[0]!r}",
                where=f"signals, {self.name}",
                remedy="name the column that holds the label: column",
            )
        storage.write_json(storage.join(folder, NAMES), names)
        return {**facts, "labels": len(names)}

    def compute(self, source: SignalSource, block: str, fit: Fit) -> pa.Array:
        """Return the labels of the rows of a block, null where a row has none."""
        names = sorted(storage.read_json(storage.join(fit.folder, NAMES)), key=code_of)
        codes = np.array([code_of(one) for one in names], np.float64)
        values = super().compute(source, block, fit)
        place = np.searchsorted(codes, np.nan_to_num(values))
        return pa.array(names, pa.string()).take(pa.array(place, mask=np.isnan(values)))

    def _names(self, scratch: str, file: ListedShard) -> list[str]:
        found: set[str] = set()
        try:
            for batch in read_batches(file.format, LocalShard(storage.local_copy(file.uri, Path(scratch)), BATCH)):
                if not self.passes_over(batch.table):
                    found |= set(pc.unique(_texts(batch.table[self.column])).to_pylist())
        except ShardUnreadable as error:
            raise InputError("a list of labels cannot be read", found=str(error), where=file.uri) from error
        return sorted(found - {None})[: MAX_LABELS + 1]


def code_of(label: str) -> float:
    """Return the number of a label: 52 bits of its hash, which float64 holds exactly."""
    return float(xxhash.xxh3_64_intdigest(label.encode()) >> 12)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return labels as strings; white space around them goes, and an empty one is none."""
    texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
