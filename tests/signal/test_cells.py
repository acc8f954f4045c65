"""Cells lie next to those whose centroids are near, and are cut into files of about equally many rows."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenkeel.tasks.signal.neighbours import cells as cells_module
from evenkeel.tasks.signal.neighbours.cells import edges_of
from evenkeel.tasks.signal.neighbours.near import near_cells
from evenkeel.tasks.signal.neighbours.size import cells_for


@pytest.mark.parametrize(("exact", "agree"), [(10_000, 1.0), (10, 0.93)])
def test_the_cells_next_to_each_are_the_nearest(exact: int, agree: float) -> None:
    rng = np.random.default_rng(0)
    centroids = (rng.normal(0, 1, (600, 6)) + rng.integers(0, 4, (600, 1)) + 50).astype(np.float32)
    near = near_cells(centroids, 1, exact)
    gaps = ((centroids[:, None] - centroids[None]) ** 2).sum(axis=2)
    true = np.argsort(gaps, axis=1, kind="stable")[:, :9]
    assert near[:, 0].tolist() == list(range(600))
    assert np.mean([len(set(a) & set(b)) / 9 for a, b in zip(near.tolist(), true.tolist(), strict=True)]) >= agree


@pytest.mark.parametrize("cells", [0, 1, 3])
def test_few_cells_are_all_next_to_each_other(cells: int) -> None:
    near = near_cells(np.arange(float(cells))[:, None].astype(np.float32), 1)
    assert [sorted(row) for row in near.tolist()] == [list(range(cells))] * cells


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 3), st.data())
def test_files_hold_consecutive_cells_and_a_bounded_number_of_rows(
    sizes: list[int], step: int, data: st.DataObject
) -> None:
    cells = max(0, len(sizes) * step - data.draw(st.integers(0, step - 1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells_module, "ROWS_PER_BATCH", 40)
        edges = edges_of(np.array(sizes, np.int64) if sizes else None, step, cells)
    assert edges == tuple(sorted(set(edges)))
    assert (edges[0], edges[-1]) == (0, cells)
    inner = edges[1:-1]
    assert all(edge % step == 0 for edge in inner)
    cuts = [0, *(edge // step for edge in inner), len(sizes)]
    assert all(sum(sizes[a:b]) <= 40 + 50 for a, b in pairwise(cuts))


def test_the_number_of_cells_follows_from_the_rows() -> None:
    assert [cells_for(rows) for rows in (1, 4000, 100_000, 1_000_000)] == [1, 7, 195, 1953]
    assert cells_for(10**9) == 8192
