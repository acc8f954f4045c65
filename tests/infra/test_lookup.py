"""Looking values up in sorted arrays finds what is there, and nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evenkeel.infra.lookup import find_sorted

NUMBERS = st.lists(st.integers(0, 20), max_size=15)


@given(NUMBERS, NUMBERS)
def test_values_are_found_where_they_are(listed: list[int], values: list[int]) -> None:
    ascending = np.unique(np.array(listed, np.uint64))
    at, found = find_sorted(ascending, np.array(values, np.uint64))
    assert found.tolist() == [value in listed for value in values]
    assert ascending[at[found]].tolist() == [value for value in values if value in listed]
