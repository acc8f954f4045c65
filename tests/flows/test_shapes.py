"""Sources of odd shapes go through `evenkeel run`, with the 1,024 open files of most systems, and stay usable."""

import re
from pathlib import Path

import pytest

from tests.bench.bench_shapes import Cost, measure

MEGABYTE = 1_000_000
CARD = 4 * MEGABYTE  # what a browser opens at once

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def rows_read(cost: Cost) -> int:
    """Return the rows that a run said it read, all of them accounted for."""
    said = re.search(
        r"([\d,]+)\s+rows\s+read\s+=\s+([\d,]+)\s+kept\s+\+\s+([\d,]+)\s+deduplicated\s+\+\s+([\d,]+)\s+filtered\s+\+"
        r"\s+([\d,]+)\s+not\s+sampled\s+\+\s+([\d,]+)\s+quarantined",
        cost.said,
    )
    assert said, cost.said
    read, *parts = (int(number.replace(",", "")) for number in said.groups())
    assert read == sum(parts)
    assert parts[-1] == 0
    return read


def test_thousands_of_small_shards_take_no_more_files_or_memory_than_there_are(tmp_path: Path) -> None:
    few, many = measure(tmp_path / "few", "shards", 500), measure(tmp_path / "many", "shards", 3000)
    assert (rows_read(few), rows_read(many)) == (1500, 9000)
    assert many.largest <= few.largest + 2500 * 30_000 + 100 * MEGABYTE
    assert many.card <= CARD


def test_two_thousand_columns(tmp_path: Path) -> None:
    cost = measure(tmp_path / "run", "columns", 2000, 3, 300)
    assert rows_read(cost) == 900
    assert cost.card <= CARD


def test_a_row_of_100_mb(tmp_path: Path) -> None:
    cost = measure(tmp_path / "run", "row", 100_000_000, 300)
    assert rows_read(cost) == 600
    assert cost.largest <= 2500 * MEGABYTE
    assert cost.card <= CARD


def test_100_000_values_of_a_group(tmp_path: Path) -> None:
    cost = measure(tmp_path / "run", "groups", 100_000, 120_000)
    assert rows_read(cost) == 120_000
    assert cost.card <= CARD
