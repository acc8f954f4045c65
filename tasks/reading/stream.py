"""Read a version in batches: shared out over ranks and workers, shuffled by seed and epoch, exactly resumable.

Needs pyarrow and fsspec only; `evenkeel.tasks.reading.torch` makes a PyTorch dataset of it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import read_footer, read_group

Column = npt.NDArray[np.generic] | list[object]
Batch = dict[str, Any]
Group = tuple[str, int, int]  # file, number, rows
COPIES = "ek_copies"


class RowStream:
    """The rows of a version's data files, in batches of columns.

    data: URI of the version's `data` folder (`evenkeel show` prints it). columns: None for all. batch: rows in a batch;
    only the last of a consumer is smaller. window: row groups whose rows are mixed with each other; more is a better
    shuffle and more memory. shuffle: False gives published order. copies: a row with `ek_copies` of 3 comes thrice.

    An epoch is a permutation of row groups cut into windows; window i belongs to consumer i modulo their number; the
    rows of a window are permuted. All follows from (seed, epoch), so where a reader stands is a number of batches.
    """

    def __init__(
        self,
        data: str,
        *,
        columns: Sequence[str] | None = None,
        batch: int = 256,
        window: int = 16,
        seed: int = 0,
        shuffle: bool = True,
        copies: bool = True,
    ) -> None:
        self.columns = None if columns is None else list(columns)
        self.batch, self.window, self.seed, self.shuffle, self.copies = batch, window, seed, shuffle, copies
        self.groups: list[Group] = []
        self.rows = 0
        for uri in storage.list_files(data):
            if uri.endswith(".parquet"):
                metadata = read_footer(uri)
                self.groups += [
                    (uri, number, metadata.row_group(number).num_rows) for number in range(metadata.num_row_groups)
                ]
                self.rows += metadata.num_rows
        if not self.groups:
            raise InputError("no Parquet files to read", where=data, remedy="give the `data` folder of a version")

    def batches(self, epoch: int = 0, *, consumer: int = 0, consumers: int = 1, skip: int = 0) -> Iterator[Batch]:
        """Yield this consumer's batches of an epoch, without the first `skip` of them.

        A batch is a dict: numpy arrays for numbers and lists of numbers of one length, lists for the rest. Skipping
        reads one integer column of the windows it passes over, and only where copies count.
        """
        left, held = skip * self.batch, None
        for number in range(consumer, -(-len(self.groups) // self.window), consumers):
            window = self._window(epoch, number)
            if left:
                count = self._count(window)
                if count <= left:
                    left -= count
                    continue
            rows = self._rows(window, epoch, number).slice(left)
            left = 0
            held = rows if held is None else _joined(held, rows)
            whole = held.num_rows - held.num_rows % self.batch
            for first in range(0, whole, self.batch):
                yield _columns(held.slice(first, self.batch))
            held = held.slice(whole)
        if held is not None and held.num_rows:
            yield _columns(held)

    def length(self, epoch: int = 0, *, consumer: int = 0, consumers: int = 1) -> int:
        """Return how many batches this consumer has in an epoch; reads one integer column where copies count."""
        mine = range(consumer, -(-len(self.groups) // self.window), consumers)
        return -(-sum(self._count(self._window(epoch, number)) for number in mine) // self.batch)

    def _window(self, epoch: int, number: int) -> list[Group]:
        order = np.arange(len(self.groups))
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.groups))
        return [self.groups[place] for place in order[number * self.window : (number + 1) * self.window]]

    def _rows(self, window: list[Group], epoch: int, number: int) -> pa.Table:
        wanted = self.columns
        if wanted is not None and self.copies and COPIES not in wanted:
            wanted = [*wanted, COPIES]
        table = _vectors(pa.concat_tables([read_group(uri, group, wanted) for uri, group, _ in window]))
        places = np.arange(table.num_rows)
        if self.copies:
            places = np.repeat(places, table[COPIES].to_numpy())
        if self.shuffle:
            places = np.random.default_rng([self.seed, epoch, number]).permutation(places)
        table = table.take(places)
        return table if self.columns is None else table.select(self.columns)

    def _count(self, window: list[Group]) -> int:
        if not self.copies:
            return sum(rows for _, _, rows in window)
        return sum(int(read_group(uri, group, [COPIES])[COPIES].to_numpy().sum()) for uri, group, _ in window)


def _vectors(table: pa.Table) -> pa.Table:
    """Return the table with lists of floats that are all equally long as fixed-size arrays, far faster to shuffle."""
    for place, kind in enumerate(table.schema.types):
        if pa.types.is_list(kind) and pa.types.is_floating(kind.value_type) and not table.column(place).null_count:
            lists = table.column(place).combine_chunks()
            lengths = np.diff(lists.offsets.to_numpy())
            if len(lengths) and lengths[0] and (lengths == lengths[0]).all():
                fixed = pa.FixedSizeListArray.from_arrays(lists.flatten(), int(lengths[0]))
                table = table.set_column(place, table.column_names[place], fixed)
    return table


def _joined(first: pa.Table, second: pa.Table) -> pa.Table:
    """Return both, one after the other; vectors become lists again where only one of them has them."""
    if first.schema.types != second.schema.types:
        first, second = (
            pa.table([_as_list(column) for column in table.columns], names=table.column_names)
            for table in (first, second)
        )
    return pa.concat_tables([first, second])


def _as_list(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.list_(column.type.value_type)) if pa.types.is_fixed_size_list(column.type) else column


def _columns(table: pa.Table) -> Batch:
    return {name: _values(table[name].combine_chunks()) for name in table.column_names}


def _values(column: pa.Array) -> Column:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.array(column.to_numpy(zero_copy_only=False))
    if pa.types.is_fixed_size_list(kind):
        return np.array(column.flatten()).reshape(len(column), kind.list_size)
    found: list[object] = column.to_pylist()
    return found
