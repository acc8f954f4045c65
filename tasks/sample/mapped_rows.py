"""Columns of candidate rows as arrays that are mapped: what the step `shared-rows` writes, and how it is read.

A block is one record whose fields are the columns, each whole, after the number of its rows. Of strings a field is the
place of each row's value in a list.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.workspace import StepRef

MAX_VALUES = 10_000
COUNTS = "counts.json"
ROWS = "rows"


@dataclass(frozen=True)
class MappedRows:
    """Columns of the rows of a clustered pool, small to send to a worker.

    names: the columns that every block has here. coded: those of strings.
    """

    uri: str
    names: tuple[str, ...]
    coded: tuple[str, ...]
    scratch: str

    @classmethod
    def of(cls, ref: StepRef | None, scratch: str) -> "MappedRows | None":
        """Open the output of the step `shared-rows`, None without."""
        if ref is None:
            return None
        return cls(ref.uri, tuple(ref.facts["columns"]), tuple(ref.facts["coded"]), scratch)

    def table(self, block: str, columns: Sequence[str], places: NDArray[np.int64] | None = None) -> pa.Table:
        """Return those of the columns of a block that are here, strings as dictionaries; places: only of these rows."""
        record = map_array(_array(self.uri, block), Path(self.scratch))[0]
        wanted = [name for name in dict.fromkeys(columns) if name in self.names]
        lists = storage.read_json(_values(self.uri, block)) if set(wanted) & set(self.coded) else {}
        arrays = {name: record[name] if places is None else record[name][places] for name in wanted}
        return pa.table({name: _column(array, lists.get(name)) for name, array in arrays.items()})

    def counts(self, name: str) -> dict[str, int] | None:
        """Return the rows of each value of a column of strings; None where they were not counted."""
        found: dict[str, dict[str, int]] = storage.read_json(storage.join(self.uri, COUNTS))
        return found.get(name)


class Written(NamedTuple):
    """What was written of a block: the names of its columns, and the rows of each value of those of strings."""

    names: tuple[str, ...]
    counts: dict[str, Counter[str]]


def write_columns(folder: str, block: str, table: pa.Table) -> Written:
    """Write the columns of a block that can be mapped: numbers and strings without gaps.

    A column of more than MAX_VALUES strings is not counted.
    """
    arrays, lists, counts = dict[str, np.ndarray](), dict[str, list[str]](), dict[str, Counter[str]]()
    for name in table.column_names:
        column = table[name].combine_chunks()
        if column.null_count:
            continue
        if pa.types.is_string(column.type):
            column = column.dictionary_encode()
            lists[name], column = column.dictionary.to_pylist(), column.indices
            if len(lists[name]) <= MAX_VALUES:
                rows = np.bincount(column.to_numpy(), minlength=len(lists[name]))
                counts[name] = Counter(dict(zip(lists[name], rows.tolist(), strict=True)))
        elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            continue
        arrays[name] = column.to_numpy()
    shapes = [(name, one.dtype, (table.num_rows,)) for name, one in arrays.items()]
    record = np.zeros(1, np.dtype([(ROWS, np.int64), *shapes], align=True))
    for name, one in {ROWS: table.num_rows, **arrays}.items():
        record[name][0] = one
    storage.write_json(_values(folder, block), lists)
    write_array(_array(folder, block), record)
    return Written(tuple(arrays), counts)


def _column(array: np.ndarray, values: list[str] | None) -> pa.Array:
    plain = pa.array(array)
    return plain if values is None else pa.DictionaryArray.from_arrays(plain, pa.array(values, pa.string()))


def _array(folder: str, block: str) -> str:
    return storage.join(folder, "rows", f"{block}.npy")


def _values(folder: str, block: str) -> str:
    return storage.join(folder, "values", f"{block}.json")
