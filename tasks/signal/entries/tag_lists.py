"""Lists of tags as numbers of a small dictionary, and what is made of them: distinct tags, and pairs of tags."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.compiled import compiled
from evenkeel.infra.dtypes import BoolArray, Int32Array, Int64Array

NO_TAGS = pa.array([], pa.string())


@dataclass(frozen=True)
class TagLists:
    """The tags of some rows. names: distinct strings. codes: (tags,) int32 into them; offsets: (n + 1,) int64."""

    names: pa.Array
    codes: Int32Array
    offsets: Int64Array

    @classmethod
    def of(cls, column: pa.ChunkedArray | pa.Array) -> Self:
        """Return the tags in a list<string> column, each once in its row, without null tags. A null row has none."""
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        lengths = [pc.fill_null(pc.list_value_length(chunk), 0).to_numpy(zero_copy_only=False) for chunk in chunks]
        flat = pa.chunked_array([chunk.flatten().cast(pa.string()) for chunk in chunks], pa.string())
        coded = flat.combine_chunks().dictionary_encode()
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
        offsets = np.concatenate([np.zeros(1, np.int64), *lengths]).cumsum(dtype=np.int64)
        return cls.distinct(coded.dictionary, codes, offsets)

    @classmethod
    def distinct(cls, names: pa.Array, codes: Int32Array, offsets: Int64Array) -> Self:
        """Return rows of codes, each code once in its row in the order of first appearance, without negative ones."""
        kept, ends = _distinct(codes, offsets, len(names))
        return cls(names, kept, ends)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.offsets) - 1

    def array(self) -> pa.Array:
        """Return the rows as list<string>, null where a row has no tag."""
        lengths = np.diff(self.offsets)
        values = self.names.take(pa.array(self.codes))
        return pa.ListArray.from_arrays(
            pa.array(self.offsets.astype(np.int32)), values, mask=pa.array(lengths == 0, pa.bool_())
        )

    def counts(self) -> Int64Array:
        """Return the rows of every name, (names,) int64."""
        return np.bincount(self.codes, minlength=len(self.names)).astype(np.int64)

    def of_rows(self, which: Int64Array) -> Self:
        """Return the tags of some rows, in the order asked for."""
        codes, offsets = _taken(self.codes, self.offsets, which)
        return type(self)(self.names, codes, offsets)

    def pairs(self, most: int, joint: str) -> Self:
        """Return the pairs of different tags in every row, as one tag each: both names in order with `joint` between.

        Of a row with more than `most` tags, the first ones.
        """
        order = np.empty(len(self.names), np.int32)
        order[pc.sort_indices(self.names).to_numpy()] = np.arange(len(self.names), dtype=np.int32)
        both, offsets = _pairs(order[self.codes], self.offsets, most, len(self.names))
        distinct, codes = np.unique(both, return_inverse=True)
        ordered = self.names.take(pc.sort_indices(self.names))
        left, right = (ordered.take(pa.array(part)) for part in np.divmod(distinct, max(1, len(self.names))))
        names = pc.binary_join_element_wise(left, right, joint) if len(distinct) else NO_TAGS
        return type(self)(names, codes.astype(np.int32), offsets)


@compiled
def _distinct(codes: Int32Array, offsets: Int64Array, names: int) -> tuple[Int32Array, Int64Array]:
    last = np.full(names, -1, np.int64)
    kept, ends = np.empty(len(codes), np.int32), np.zeros(len(offsets), np.int64)
    used = 0
    for row in range(len(offsets) - 1):
        for place in range(offsets[row], offsets[row + 1]):
            code = codes[place]
            if code >= 0 and last[code] != row:
                last[code] = row
                kept[used] = code
                used += 1
        ends[row + 1] = used
    return kept[:used].copy(), ends


@compiled
def _taken(codes: Int32Array, offsets: Int64Array, which: Int64Array) -> tuple[Int32Array, Int64Array]:
    ends = np.zeros(len(which) + 1, np.int64)
    for place in range(len(which)):
        ends[place + 1] = ends[place] + offsets[which[place] + 1] - offsets[which[place]]
    taken = np.empty(ends[-1], np.int32)
    for place in range(len(which)):
        taken[ends[place] : ends[place + 1]] = codes[offsets[which[place]] : offsets[which[place] + 1]]
    return taken, ends


@compiled
def _pairs(codes: Int32Array, offsets: Int64Array, most: int, names: int) -> tuple[Int64Array, Int64Array]:
    """Return smaller code * names + larger code of each pair of every row, and where the rows begin."""
    ends = np.zeros(len(offsets), np.int64)
    for row in range(len(offsets) - 1):
        count = min(offsets[row + 1] - offsets[row], most)
        ends[row + 1] = ends[row] + count * (count - 1) // 2
    both = np.empty(ends[-1], np.int64)
    for row in range(len(offsets) - 1):
        used, first = ends[row], offsets[row]
        last = first + min(offsets[row + 1] - first, most)
        for one in range(first, last):
            for other in range(one + 1, last):
                low, high = min(codes[one], codes[other]), max(codes[one], codes[other])
                both[used] = np.int64(low) * names + high
                used += 1
    return both, ends


def text_parts(column: pa.ChunkedArray, separator: str) -> pa.ChunkedArray:
    """Return texts cut at a separator, as list<string>, white space around parts and empty parts left out."""
    parts = pc.split_pattern(pc.cast(column, pa.string()), separator)
    return pa.chunked_array([trimmed(chunk) for chunk in parts.chunks], pa.list_(pa.string()))


def trimmed(lists: pa.Array) -> pa.Array:
    """Return list<string> without white space around its strings; empty strings become null."""
    flat = pc.utf8_trim_whitespace(lists.flatten().cast(pa.string()))
    values = pc.if_else(pc.equal(flat, ""), pa.scalar(None, pa.string()), flat)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([np.zeros(1, np.int32), lengths.astype(np.int32)]).cumsum(dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def merged(columns: list[pa.ChunkedArray]) -> pa.Array:
    """Return one list<string> array that holds the tags of several in every row."""
    parts = [TagLists.of(column) for column in columns]
    if len(parts) == 1:
        return parts[0].array()
    names = pa.concat_arrays([part.names for part in parts])
    shifts = np.cumsum([0, *(len(part.names) for part in parts)])
    row = np.concatenate([np.repeat(np.arange(part.rows), np.diff(part.offsets)) for part in parts])
    code = np.concatenate([part.codes + shift for part, shift in zip(parts, shifts, strict=False)])
    order = np.argsort(row, kind="stable")
    offsets = np.searchsorted(row[order], np.arange(parts[0].rows + 1))
    known = names.dictionary_encode()
    codes = known.indices.to_numpy()[code[order]].astype(np.int32)
    return TagLists.distinct(known.dictionary, codes, offsets.astype(np.int64)).array()


def has_tags(lists: TagLists) -> BoolArray:
    """Tell which rows have a tag, (n,) bool."""
    return np.diff(lists.offsets) > 0
