"""Rows are found by their ids, whatever ids are asked for."""

from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pytest

from evenkeel.infra.compute import Compute
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.validate.locate import for_located, locate
from tests.validate.pools import Curated


def found(pool: Pool, row_ids: npt.NDArray[np.uint64]) -> list[int]:
    held: list[int] = []
    for block, ids, places in locate(pool, row_ids):
        assert (pool.table(block, ["row_id"])["row_id"].to_numpy()[places] == ids).all()
        held += ids.tolist()
    assert np.concatenate([[], *for_located(itemgetter(1), pool, row_ids, Compute(), 0)]).tolist() == held
    return held


@pytest.mark.parametrize("every", [1, 2, 97, 10_000])
def test_every_row_asked_for_is_found_once(curated: Curated, every: int) -> None:
    pool = Pool.open(curated.done["ingest"])
    asked = pool.row_ids()[::every]
    assert found(pool, asked) == asked.tolist()


def test_rows_that_the_pool_does_not_have_are_left_out(curated: Curated) -> None:
    pool = Pool.open(curated.done["ingest"])
    held = pool.row_ids()
    strange = np.array([int(held[-1]) + 1, 99 << 40], np.uint64)
    assert found(pool, np.concatenate([held[:2], strange])) == held[:2].tolist()
    assert found(pool, strange) == []
    assert found(pool, np.empty(0, np.uint64)) == []
