"""Number the combinations of values in some columns, in the order of the values, with Arrow dictionaries and arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NONE = "(none)"


@dataclass(frozen=True)
class Coding:
    """The combinations of values that occur in some columns, numbered in the order of their values.

    dictionaries: the sorted values of each column. steps: for every column after the first, the sorted keys number of
    the combination before it x values of the column + value, (combinations of the columns so far,) int64.
    """

    dictionaries: tuple[pa.Array, ...]
    steps: tuple[NDArray[np.int64], ...]

    def __len__(self) -> int:
        """Return the number of combinations."""
        return len(self.steps[-1]) if self.steps else len(self.dictionaries[0])

    def numbers(self, columns: Sequence[pa.ChunkedArray]) -> NDArray[np.int64]:
        """Return the number of the combination of every row, (n,) int64; each must be one of those that occur."""
        number = np.zeros(len(columns[0]), np.int64)
        for place, (values, column) in enumerate(zip(self.dictionaries, columns, strict=True)):
            own, codes = _encoded(column)
            code = pc.index_in(own, value_set=values).to_numpy().astype(np.int64)[codes] if len(own) else codes
            number = code if place == 0 else np.searchsorted(self.steps[place - 1], number * len(values) + code)
        return number.astype(np.int64)

    def values(self, number: int) -> tuple[str, ...]:
        """Return the values of a combination."""
        return tuple(
            values[int(code[0])].as_py()
            for values, code in zip(self.dictionaries, self.codes(np.array([number])), strict=True)
        )

    def codes(self, numbers: NDArray[np.int64] | None = None) -> list[NDArray[np.int64]]:
        """Return the value of some combinations, or of all, in each column, as its place in the dictionary."""
        number = np.arange(len(self)) if numbers is None else numbers
        found = []
        for values, step in zip(self.dictionaries[:0:-1], self.steps[::-1], strict=True):
            number, code = np.divmod(step[number], len(values))
            found.append(code)
        return [number, *found[::-1]]

    def parents(self) -> tuple[NDArray[np.int32], ...]:
        """Return the combinations as a tree of values: of each, the one without its last value, finest level first."""
        levels = zip(self.steps[::-1], self.dictionaries[:0:-1], strict=True)
        return tuple((step // len(values)).astype(np.int32) for step, values in levels)


def code_columns(columns: Sequence[pa.ChunkedArray]) -> tuple[Coding, NDArray[np.int64]]:
    """Return the combinations that occur in some columns of strings, and the number of each row's, (n,) int64."""
    dictionaries, codes = [], []
    for column in columns:
        own, code = _encoded(column)
        order = pc.array_sort_indices(own).to_numpy().astype(np.int64)
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        dictionaries.append(own.take(pa.array(order)))
        codes.append(place[code] if len(order) else code)
    return _coded(dictionaries, codes)


def merge_codings(left: Coding, right: Coding) -> tuple[Coding, NDArray[np.int64], NDArray[np.int64]]:
    """Return the combinations of both, and the new numbers of those on the left and on the right, both ascending."""
    dictionaries, codes = [], []
    for old, new, one, other in zip(left.dictionaries, right.dictionaries, left.codes(), right.codes(), strict=True):
        both = pc.unique(pa.concat_arrays([old, new]))
        both = both.take(pc.array_sort_indices(both))
        dictionaries.append(both)
        places = [pc.index_in(part, value_set=both).to_numpy().astype(np.int64) for part in (old, new)]
        codes.append(np.concatenate([places[0][one], places[1][other]]))
    coding, number = _coded(dictionaries, codes)
    return coding, number[: len(left)], number[len(left) :]


def _coded(dictionaries: Sequence[pa.Array], codes: Sequence[NDArray[np.int64]]) -> tuple[Coding, NDArray[np.int64]]:
    """Return the coding of rows, given the place of their values in dictionaries whose every value occurs."""
    number, steps = codes[0], []
    for values, code in zip(dictionaries[1:], codes[1:], strict=True):
        step, number = np.unique(number * len(values) + code, return_inverse=True)
        steps.append(step)
    return Coding(tuple(dictionaries), tuple(steps)), number.astype(np.int64)


def _encoded(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the distinct values of a column of strings, and the place of every row's, (n,) int64."""
    column = pc.fill_null(column, NONE) if column.null_count else column
    coded = column.combine_chunks().dictionary_encode()
    own, codes = coded.dictionary, coded.indices.to_numpy().astype(np.int64)
    there = np.bincount(codes, minlength=len(own)) > 0
    if there.all():
        return own, codes
    return own.filter(pa.array(there)), (np.cumsum(there) - 1)[codes]  # a dictionary may say more than its rows
