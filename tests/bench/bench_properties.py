"""CPU-seconds of scanning a version for stated properties: `python -m tests.bench.bench_properties ROWS`.

A pool of ROWS rows with five columns (two numbers, two texts, a truth) in blocks of 65,536 is made first, and a version
of all its rows. Reading the columns is measured apart. Then come five properties of rows in one pass, one of groups by
two columns, one with a group for every hundred rows, and the coverage of a grid; all on one thread.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from evenkeel.infra.compute import Compute
from evenkeel.tasks.expression.property import parse_property
from evenkeel.tasks.properties.conditions import scan_rows
from evenkeel.tasks.properties.grid import measure_coverage
from evenkeel.tasks.properties.groups import scan_groups
from evenkeel.tasks.properties.version_rows import VersionRows
from tests.properties.versions import write_version

COLUMNS = ("x", "y", "lang", "label", "seen")
OF_ROWS = (
    "x >= 0",
    "y > 0.5 implies lang is not null",
    "seen and x < 10 implies label in ['cat', 'dog', 'fox']",
    "length(lang) == 2 or lang is null",
    "x * 2 + y >= y implies not (label == 'cow' and y > 2)",
)


def random_rows(rows: int) -> pa.Table:
    """Return rows of two numbers, two texts and a truth, some of them missing."""
    rng = np.random.default_rng(0)
    lang = pa.array(["de", "en", "fr", "it", "ja", None]).take(pa.array(rng.integers(0, 6, rows)))
    label = pa.array(["cat", "dog", "fox"]).take(pa.array(rng.integers(0, 3, rows)))
    x, y = rng.random(rows) * 100, rng.normal(size=rows)
    return pa.table(
        {"x": x, "y": y, "lang": lang, "label": label, "seen": rng.random(rows) < 0.5, "batch": np.arange(rows) // 100}
    )


def main() -> None:
    """Print CPU-seconds, by what was scanned for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int)
    count = parser.parse_args().rows
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        seconds[name] = round(time.process_time() - begun, 1)

    with tempfile.TemporaryDirectory() as place:
        folder, compute = Path(place), Compute(threads=1)
        rows: VersionRows = write_version(folder, random_rows(count), block_rows=1 << 16)
        with timed("reading five columns"):
            for block in rows.pool.blocks:
                rows.table(block, COLUMNS)
        with timed("five properties of rows"):
            found = scan_rows([parse_property(text, "bench") for text in OF_ROWS], rows, compute)
        assert found[1].broken > 0.01 * count
        assert not found[0].broken
        with timed("groups by two columns"):
            stated = parse_property("forall lang, label: count >= 20 and mean(y) < 1", "bench")
            assert not scan_groups(stated, rows, count, str(folder / "few"), compute).broken
        with timed("a group for every hundred rows"):
            stated = parse_property("forall batch: count == 100", "bench")
            assert not scan_groups(stated, rows, count, str(folder / "many"), compute).broken
        with timed("grid of 100 x 100"):
            assert measure_coverage({"x": 100, "y": 100}, "grid", 1, rows, compute).covered
    print(f"{count:,} rows x 5 columns, CPU-seconds: {seconds}")


if __name__ == "__main__":
    main()
