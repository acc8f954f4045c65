"""Rehydration: copies follow group sizes by a table, or by what filters removed."""

import numpy as np

from evenkeel.tasks.dedup.rehydrate import rehydrate, rehydration_table


def test_copies_step_with_group_size() -> None:
    sizes = np.array([1, 2, 3, 4, 5, 99, 100, 999, 1000, 10**6])
    assert rehydrate(sizes).tolist() == [1, 2, 3, 3, 5, 5, 8, 8, 1, 1]
    assert rehydrate(sizes, {1: 1}).tolist() == [1] * 10


def test_the_cleanest_sizes_come_most_often_and_the_dirtiest_once() -> None:
    sizes = np.arange(2, 22)
    removed = np.concatenate([np.linspace(0.5, 0.2, 10), np.linspace(0.2, 0.8, 10)])
    table = rehydration_table(sizes, removed, max_copies=5)
    assert table[1] == 1
    assert max(table.values()) == 5
    assert table[21] == table[20] == 1
    assert table[11] > table[4]
    assert set(rehydration_table(sizes, np.full(20, 0.3)).values()) == {1}
