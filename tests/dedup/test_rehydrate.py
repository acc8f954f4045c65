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
    table = rehydration_table(sizes, removed, np.ones(20, int), max_copies=5)
    assert table[1] == 1
    assert max(table.values()) == 5
    assert table[21] == table[20] == 1
    assert table[11] > table[4]
    assert set(rehydration_table(sizes, np.full(20, 0.3), np.ones(20, int)).values()) == {1}


def test_the_mean_counts_rows_and_not_sizes() -> None:
    """0.4 of 900 rows, 0.2 of 60, 0.1 of 30 and 0.5 of 10 are 380 of 1,000; the mean of the four rates is 0.3."""
    sizes, removed, rows = np.array([1, 2, 3, 50]), np.array([0.4, 0.2, 0.1, 0.5]), np.array([900, 60, 30, 10])
    by_hand = {1: 1, 2: round(1 + 4 * (0.2 - 0.38) / (0.1 - 0.38)), 3: 5, 50: 1}
    assert by_hand[2] == 4
    assert rehydration_table(sizes, removed, rows, max_copies=5, smoothing=1) == by_hand
    alike = rehydration_table(sizes, removed, np.full(4, 250), max_copies=5, smoothing=1)
    assert alike == {1: 1, 2: 3, 3: 5, 50: 1}


def test_rows_without_duplicates_are_not_repeated_because_those_with_many_are_clean() -> None:
    table = rehydration_table(np.array([1, 5]), np.array([0.5, 0.1]), np.array([500, 20]), max_copies=3)
    assert table == {1: 1, 5: 3}
