"""Times of every unit are published as they are, or their rows are refused: none is wrapped around."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.tasks.publish.staging.schema import cast, published
from tests.ingest.pools import ingest, refused, whole, write

EPOCH = 2_440_588  # the Julian day of 1970-01-01


def write_int96(path: Path, days: Sequence[int], nested: bool = False) -> None:
    """Write midnights as Spark does: nanoseconds of the day and the Julian day, beyond what nanoseconds hold."""
    path.parent.mkdir(parents=True)
    marks = [EPOCH + 7 + at for at in range(len(days))]  # days of January 1970, to be replaced by those wanted
    times = pa.array([(mark - EPOCH) * 86_400 * 10**9 for mark in marks], pa.timestamp("ns"))
    column = pa.array([[time] for time in times], pa.list_(pa.timestamp("ns"))) if nested else times
    table = pa.table({"id": [f"r{at}" for at in range(len(days))], "until": column})
    pq.write_table(
        table,
        path,
        use_deprecated_int96_timestamps=True,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
    )
    content = path.read_bytes()
    for mark, day in zip(marks, days, strict=True):
        written = b"\x00" * 8 + mark.to_bytes(4, "little")
        assert content.count(written) == 1
        content = content.replace(written, b"\x00" * 8 + day.to_bytes(4, "little"))
    path.write_bytes(content)


@pytest.mark.parametrize("nested", [False, True])
def test_dates_of_spark_are_read_as_written_or_refused(tmp_path: Path, nested: bool) -> None:
    last, none = EPOCH + 2_932_896, 2**32 - 1  # 9999-12-31, and a day eleven million years on
    write_int96(tmp_path / "pool" / "a.parquet", [last, none, EPOCH], nested)
    pool = ingest(tmp_path, uri=str(tmp_path / "pool"), max_quarantined=1.0)
    found = [str(value[0] if nested else value)[:10] for value in whole(pool)["until"]]
    assert found == ["9999-12-31", "1970-01-01"]
    assert refused(pool) == [(0, 1, "unparsable row")]
    assert pool.quarantine()["detail"].to_pylist() == ["'until' holds a time beyond 64 bits of microseconds"]


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_times_that_no_version_holds_are_refused(tmp_path: Path, unit: str) -> None:
    most = (2**63 - 1) // {"s": 10**6, "ms": 10**3}[unit]
    kind = pa.timestamp(unit)
    values = [most, most + 1, -most, -most - 1, None]
    nested = [[{"at": value}, {"at": 0}] if at % 2 else [] for at, value in enumerate(values)]
    fixed = [None if value is None else [0, value] for value in values]
    columns = {
        "plain": pa.array(values, kind),
        "nested": pa.array(nested, pa.list_(pa.struct([("at", kind)]))),
        "fixed": pa.array(fixed, pa.list_(kind, 2)),
        "map": pa.array([[("k", value)] for value in values], pa.map_(pa.string(), kind)),
    }
    for name, column in columns.items():
        write(tmp_path / name / "pool" / "a.parquet", pa.table({"x": column}))
        pool = ingest(tmp_path / name, uri=str(tmp_path / name / "pool"), max_quarantined=1.0)
        assert refused(pool) == [(0, 1, "unparsable row"), (0, 3, "unparsable row")], name
        payload = pool.payload(pool.blocks[0])
        staged = cast(payload, published(payload.schema))
        assert staged.num_rows == 3
        if name == "plain":
            factor = {"s": 10**6, "ms": 10**3}[unit]
            assert staged["x"].cast(pa.int64()).to_pylist() == [most * factor, -most * factor, None]
