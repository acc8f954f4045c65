"""A recipe of a source and a target alone is not stopped by its own gates, also where leaves outnumber rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.flows.curate import curate
from evenkeel.flows.recipe import parse

ROWS, DIMENSION, COMPONENTS = 40_000, 384, 2000


def write_tail(folder: Path, rows: int, dimension: int, components: int) -> None:
    """Write vectors of a mixture whose components have Zipf masses, in shards of 50,000 rows at most."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    centres = rng.standard_normal((components, dimension), dtype=np.float32)
    masses = 1 / np.arange(1, components + 1)
    for number, part in enumerate(np.array_split(np.arange(rows), -(-rows // 50_000))):
        topic = rng.choice(components, len(part), p=masses / masses.sum())
        x = centres[topic] + np.float32(0.6) * rng.standard_normal((len(part), dimension), dtype=np.float32)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), dimension)
        pq.write_table(
            pa.table({"id": pa.array(part).cast(pa.string()), "vector": vectors}), folder / f"{number}.parquet"
        )


def default_recipe(tmp_path: Path, target: str) -> dict[str, Any]:
    """Return a recipe that leaves everything but places and the target to the defaults."""
    return {
        "dataset": "tail",
        "source": {"uri": str(tmp_path / "pool")},
        "sampling": {"target": target},
        "destination": {"uri": str(tmp_path / "published")},
        "workspace": str(tmp_path / "workspace"),
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("prefect_server")
def test_a_default_recipe_publishes_fewer_rows_than_leaves_and_five_rows_a_leaf(tmp_path: Path) -> None:
    write_tail(tmp_path / "pool", ROWS, DIMENSION, COMPONENTS)
    for target, rows in (("3%", 1200), ("6665", 6665)):  # 1,333 leaves: one row for most of them, and five for each
        found = curate(parse(default_recipe(tmp_path, target)))
        assert found["status"] == "published"
        assert found["totals"]["kept"] == rows
        assert found["totals"]["read"] == ROWS
