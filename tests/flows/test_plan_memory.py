"""The memory that a plan says of the driver and of a worker is what they take."""

from pathlib import Path

import pytest

from tests.bench.bench_memory import measure

ROWS, WITHIN = 20_000, 1.3


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("on_workers", [False, True])
def test_memory_is_planned_within_a_third(tmp_path: Path, on_workers: bool) -> None:
    held = measure(tmp_path, ROWS, on_workers)
    assert 1 / WITHIN <= held.planned_driver / held.driver <= WITHIN
    if on_workers:
        assert 1 / WITHIN <= held.planned_worker / held.worker <= WITHIN
