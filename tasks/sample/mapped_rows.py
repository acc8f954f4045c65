"""Columns of candidate rows as arrays that are mapped: what the step `shared-rows` writes, and how it is read.

A column is one array for each block. Of strings it is the place of each row's value, whose values lie beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array, write_array
from evenkeel.infra.workspace import StepRef


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

    def table(self, block: str, columns: Sequence[str]) -> pa.Table:
        """Return those of the columns of a block that are here."""
        return pa.table({name: self._column(block, name) for name in dict.fromkeys(columns) if name in self.names})

    def _column(self, block: str, name: str) -> pa.Array:
        array = pa.array(map_array(_array(self.uri, block, name), Path(self.scratch)))
        if name not in self.coded:
            return array
        values = pa.array(storage.read_json(_values(self.uri, block, name)), pa.string())
        return pa.DictionaryArray.from_arrays(array, values).dictionary_decode()


def write_columns(folder: str, block: str, table: pa.Table) -> tuple[str, ...]:
    """Write the columns of a block that can be mapped, numbers and strings without gaps; return their names."""
    written = []
    for name in table.column_names:
        column = table[name].combine_chunks()
        if column.null_count:
            continue
        if is_coded(column.type):
            column = column.dictionary_encode()
            storage.write_json(_values(folder, block, name), column.dictionary.to_pylist())
            column = column.indices
        elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            continue
        write_array(_array(folder, block, name), column.to_numpy())
        written.append(name)
    return tuple(written)


def is_coded(kind: pa.DataType) -> bool:
    """Tell whether a column of this type is written as the places of its values."""
    return bool(pa.types.is_string(kind))


def _array(folder: str, block: str, name: str) -> str:
    return storage.join(folder, name, f"{block}.npy")


def _values(folder: str, block: str, name: str) -> str:
    return storage.join(folder, name, f"{block}.json")
