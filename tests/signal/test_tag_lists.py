"""Lists of tags: distinct in their row, counted, paired, taken by row."""

from itertools import combinations

import numpy as np
import pyarrow as pa

from evenkeel.tasks.signal.entries.tag_lists import TagLists, merged, text_parts, trimmed

Rows = list[list[str | None] | None]
ROWS: Rows = [["b", "a", "b"], None, [], [None, "c"], ["a"], ["c", "a", "b"]]


def column(rows: Rows) -> pa.ChunkedArray:
    kind = pa.list_(pa.string())
    return pa.chunked_array([pa.array(rows[:2], kind), pa.array(rows, kind).slice(2)])


def test_tags_are_distinct_in_their_row_and_a_row_without_one_is_null() -> None:
    lists = TagLists.of(column(ROWS))
    assert lists.array().to_pylist() == [["b", "a"], None, None, ["c"], ["a"], ["c", "a", "b"]]
    assert dict(zip(lists.names.to_pylist(), lists.counts().tolist(), strict=True)) == {"a": 3, "b": 2, "c": 2}
    assert lists.of_rows(np.array([5, 1, 0])).array().to_pylist() == [["c", "a", "b"], None, ["b", "a"]]


def test_pairs_are_those_of_a_plain_loop() -> None:
    found = TagLists.of(column(ROWS)).pairs(50, " & ").array().to_pylist()
    rows = [sorted({tag for tag in row or [] if tag}) for row in ROWS]
    expected = [[" & ".join(pair) for pair in combinations(row, 2)] for row in rows]
    assert [sorted(row or []) for row in found] == expected
    assert TagLists.of(column(ROWS)).pairs(2, "+").array().to_pylist()[5] == ["a+c"], "the first two of its tags"
    assert TagLists.of(column([None, []])).pairs(9, "+").array().to_pylist() == [None, None]


def test_several_columns_make_one_list_and_texts_are_cut_at_a_separator() -> None:
    other = pa.chunked_array([pa.array(["x, a", None, " , y,y", "", "c", "z"])])
    parts = text_parts(other, ",")
    assert merged([column(ROWS), parts]).to_pylist() == [
        ["b", "a", "x"], None, ["y"], ["c"], ["a", "c"], ["c", "a", "b", "z"],
    ]  # fmt: skip
    assert trimmed(pa.array([[" a ", "", None], None])).to_pylist() == [["a", None, None], []]
