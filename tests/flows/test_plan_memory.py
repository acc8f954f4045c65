"""The memory that a plan says of the driver, of a worker and of a reader of shards is what they take."""

from pathlib import Path

import pytest

from tests.bench.bench_memory import IN_GROUPS, SIZES, Source, measure

WITHIN = 1.3


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("on_workers", [False, True])
@pytest.mark.parametrize(
    ("source", "memory_gib"),
    [
        *((Source(rows), 2.0) for rows in SIZES),
        (Source(200_000), IN_GROUPS),
        (Source(100_000, 384), 2.0),
        (Source(131_072, 768, shards=4, named=True), 2.0),
    ],
)
def test_memory_is_planned_within_a_third(
    tmp_path: Path, source: Source, memory_gib: float, on_workers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENKEEL_ISOLATE_READERS", "1")
    held, planned = measure(tmp_path, source, on_workers, memory_gib=memory_gib)
    ratios = held.within(planned)
    assert len(ratios) == (3 if on_workers else 2)
    assert all(1 / WITHIN <= ratio <= WITHIN for ratio in ratios.values()), (held, planned)
