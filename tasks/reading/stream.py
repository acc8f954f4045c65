"""Read a version in batches: shared out over ranks and workers, shuffled by seed and epoch, exactly resumable.

Needs pyarrow and fsspec only; `evenkeel.tasks.reading.torch` makes a PyTorch dataset of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import read_group
from evenkeel.tasks.reading.choice import Choice
from evenkeel.tasks.reading.groups import Group, list_groups, reaching, sorted_by_rank

Column = npt.NDArray[np.generic] | list[object]
Batch = dict[str, Any]


class RowStream:
    """The rows of a version's data files, in batches of columns.

    data: URI of the version's `data` folder (`evenkeel show` prints it). columns: None for all. batch: rows in a batch;
    only the last of a consumer is smaller. window: row groups whose rows are mixed with each other; more is a better
    shuffle and more memory. shuffle: False gives published order. copies: a row with `ek_copies` of 3 comes thrice.
    stage: as often as that stage of the recipe says, instead. split: the rows of `train`, `validation` or `test` alone.
    fresh: a share of the rows, another in each epoch. weights: as often as these weights say on average. order: rows
    come in the order of the recipe, `ek_rank`, and batches are shared out one span of them after another.

    An epoch is a permutation of row groups cut into windows; window i belongs to consumer i modulo their number; the
    rows of a window are permuted. All follows from (seed, epoch), so where a reader stands is a number of batches.
    Raises InputError for what the version does not have.
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
        stage: str | None = None,
        split: str | None = None,
        fresh: float | None = None,
        weights: str | None = None,
        order: bool = False,
    ) -> None:
        self.columns = None if columns is None else list(columns)
        self.batch, self.window, self.seed, self.shuffle, self.order = batch, window, seed, shuffle, order
        self.choice = Choice(copies, stage, split, fresh, weights, seed)
        found, footers = list_groups(data)
        self.choice.check(found.columns, data)
        self.groups, self.rows = reaching(found, footers, self.choice.bounds()), found.rows
        self.needs = self.choice.needs(found.columns)
        self._known: dict[int, npt.NDArray[np.int64]] = {}
        if order and not sorted_by_rank(self.groups):
            raise InputError(
                "this version is not sorted by an order", where=data, remedy="give the recipe a section order"
            )
        if weights is not None:
            self.choice = replace(self.choice, scale=self._mean_weight(self.choice.weight_column(found.columns)))

    def batches(self, epoch: int = 0, *, consumer: int = 0, consumers: int = 1, skip: int = 0) -> Iterator[Batch]:
        """Yield this consumer's batches of an epoch, without the first `skip` of them.

        A batch is a dict: numpy arrays for numbers and lists of numbers of one length, lists for the rest. Skipping
        reads the few columns that say how often rows come, of the windows it passes over.
        """
        if self.order:
            yield from self._ordered(epoch, consumer, consumers, skip)
            return
        left, held = skip * self.batch, None
        for number in range(consumer, -(-len(self.groups) // self.window), consumers):
            window = self._window(epoch, number)
            if left:
                count = self._count(window, epoch)
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
        """Return how many batches this consumer has in an epoch; reads the columns that say how often rows come."""
        if self.order:
            total, span = int(self._ends(epoch)[-1]), self._span
            spans = range(consumer, -(-total // span), consumers)
            return sum(-(-min(span, total - number * span) // self.batch) for number in spans)
        mine = range(consumer, -(-len(self.groups) // self.window), consumers)
        return -(-sum(self._count(self._window(epoch, number), epoch) for number in mine) // self.batch)

    def _ordered(self, epoch: int, consumer: int, consumers: int, skip: int) -> Iterator[Batch]:
        """Yield the batches of this consumer's spans: span i, about a row group, belongs to consumer i modulo them."""
        ends, span = self._ends(epoch), self._span
        total, held = int(ends[-1]), dict[int, pa.Table]()
        passed, within = divmod(skip, span // self.batch)
        for number in range(consumer + consumers * passed, -(-total // span), consumers):
            start, stop = number * span + within * self.batch, min((number + 1) * span, total)
            within = 0
            if start >= stop:
                continue
            first, last = (int(one) for one in np.searchsorted(ends, [start, stop - 1], side="right"))
            held = {
                place: held[place] if place in held else self._expanded([self.groups[place]], epoch)
                for place in range(first, last + 1)
            }
            rows = reduce(_joined, held.values()).slice(start - (int(ends[first - 1]) if first else 0), stop - start)
            for at in range(0, rows.num_rows, self.batch):
                yield _columns(rows.slice(at, self.batch))

    @property
    def _span(self) -> int:
        """The rows that one consumer has in a row where they come in order: whole batches, about a row group."""
        return -(-max((group.rows for group in self.groups), default=1) // self.batch) * self.batch

    def _ends(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return how many rows come up to the end of each row group, (groups,) int64; one epoch's are kept."""
        one = epoch if self.choice.changes else 0
        if one not in self._known:
            self._known = {one: np.cumsum([self._count([group], epoch) for group in self.groups] or [0])}
        return self._known[one]

    def _window(self, epoch: int, number: int) -> list[Group]:
        order = np.arange(len(self.groups))
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.groups))
        return [self.groups[place] for place in order[number * self.window : (number + 1) * self.window]]

    def _rows(self, window: list[Group], epoch: int, number: int) -> pa.Table:
        shuffled = np.random.default_rng([self.seed, epoch, number]) if self.shuffle else None
        return self._expanded(window, epoch, shuffled)

    def _expanded(self, window: list[Group], epoch: int, shuffled: np.random.Generator | None = None) -> pa.Table:
        """Return the rows of some row groups, each as often as it comes, permuted by a generator."""
        wanted = self.columns
        if wanted is not None:
            wanted = [*dict.fromkeys([*wanted, *self.needs])]
        table = _vectors(pa.concat_tables([read_group(group.uri, group.number, wanted) for group in window]))
        places = np.arange(table.num_rows)
        if self.needs:
            places = np.repeat(places, self.choice.counts(table, epoch))
        if shuffled is not None:
            places = shuffled.permutation(places)
        table = table.take(places)
        return table if self.columns is None else table.select(self.columns)

    def _count(self, window: list[Group], epoch: int) -> int:
        if not self.needs:
            return sum(group.rows for group in window)
        parts = (read_group(group.uri, group.number, self.needs) for group in window)
        return sum(int(self.choice.counts(part, epoch).sum()) for part in parts)

    def _mean_weight(self, column: str) -> float:
        """Return the mean weight of the copies that are taken."""
        total, copies = 0.0, 0
        plain = replace(self.choice, weights=None, fresh=None)
        for group in self.groups:
            table = read_group(group.uri, group.number, self.needs)
            counts = plain.counts(table, 0)
            total += float(np.dot(counts, np.nan_to_num(table[column].to_numpy().astype(np.float64))))
            copies += int(counts.sum())
        return total / max(copies, 1)


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
