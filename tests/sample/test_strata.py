"""Strata are counted as a plain loop counts them, whatever the blocks, and without a Python object for each pair."""

import tracemalloc
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.infra.compute import Compute
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.strata.coding import code_columns, merge_codings
from evenkeel.tasks.sample.strata.count import Counted, cross_strata, find_strata, merge_counted
from tests.sample.pools import write_pool

ROWS, LEAVES = 700, 9


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[CandidateRows, list[tuple[str, ...]], np.ndarray]:
    """Rows of few and many values, some of them null, in blocks that hold only some of the values."""
    folder = tmp_path_factory.mktemp("strata")
    rng = np.random.default_rng(1)
    leaf = rng.integers(0, LEAVES, ROWS)
    columns: dict[str, list[str | None]] = {
        "language": [["is", "fo", "Ελ", None, "zh-漢"][value] for value in np.sort(rng.integers(0, 5, ROWS))],
        "site": [f"site {value}" for value in rng.zipf(1.5, ROWS) % 90],
        "kind": [["a", "b"][row % 2] for row in range(ROWS)],
    }
    done = write_pool(
        folder, rng.normal(size=(ROWS, 3)), levels=[leaf], groups=columns, block_rows=60, drop={3: (2, "exact")}
    )
    rows = CandidateRows.open(done["ingest"], done["embed"], done["cluster"])
    values = list(
        zip(*[["(none)" if value is None else value for value in part] for part in columns.values()], strict=True)
    )
    return rows, values, leaf


def test_strata_are_those_of_a_plain_count(
    pool: tuple[CandidateRows, list[tuple[str, ...]], np.ndarray],
) -> None:
    rows, values, leaf = pool
    kept = [row for row in range(ROWS) if row != 3]
    counted = Counter((values[row], int(leaf[row])) for row in kept)
    known = sorted({value for value, _ in counted})
    pairs = sorted((known.index(value), at, count) for (value, at), count in counted.items())
    for compute in (Compute(threads=1), Compute(threads=3)):
        found = cross_strata(rows, ["language", "site", "kind"], compute)
        assert [found.by_value.coding.values(number) for number in range(len(found.by_value))] == known
        assert list(zip(found.strata.tolist(), found.leaves.tolist(), found.counts.tolist(), strict=True)) == pairs
        alone = find_strata(rows, ["language", "site", "kind"], compute)
        assert alone.sizes.tolist() == found.by_value.sizes.tolist()
        assert alone.sizes.sum() == ROWS - 1
        for block in rows.blocks:
            table = rows.table(block, found.by_value.columns)
            row_ids = table["row_id"].to_pylist()
            assert [known[number] for number in found.by_value.of(table)] == [values[row] for row in row_ids]
            places = found.pair_of(table, block)
            assert [pairs[place][:2] for place in places] == [(known.index(values[row]), leaf[row]) for row in row_ids]


def test_codings_of_parts_are_that_of_the_whole() -> None:
    rng = np.random.default_rng(2)
    columns = [rng.integers(0, 40, 500).astype(str), rng.integers(0, 7, 500).astype(str)]

    def part(first: int, last: int) -> list[pa.ChunkedArray]:
        return [pa.chunked_array([pa.array(column[first:last])]) for column in columns]

    whole, numbers = code_columns(part(0, 500))
    (one, first), (other, second) = code_columns(part(0, 200)), code_columns(part(200, 500))
    both, of_one, of_other = merge_codings(one, other)
    assert np.concatenate([of_one[first], of_other[second]]).tolist() == numbers.tolist()
    assert [both.values(number) for number in range(len(both))] == [
        whole.values(number) for number in range(len(whole))
    ]
    assert whole.numbers(part(0, 500)).tolist() == numbers.tolist()
    nothing, _ = code_columns([pa.chunked_array([], pa.string())] * 2)
    assert merge_codings(nothing, one)[2].tolist() == list(range(len(one)))


def test_counts_merge_in_arrays_alone() -> None:
    """A dict of pairs took 270 bytes a pair; two arrays take 16, and the merge of both a few times that."""
    keys = np.arange(0, 400_000, 2)
    left, right = Counted(keys, np.ones_like(keys)), Counted(keys // 2, np.full_like(keys, 3))
    tracemalloc.start()
    merged = merge_counted(left, right)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert merged.keys.tolist() == sorted({*keys.tolist(), *(keys // 2).tolist()})
    assert merged.rows.sum() == 4 * len(keys)
    assert merged.rows[:3].tolist() == [4, 3, 4]
    assert peak < 100 * len(merged.keys)
