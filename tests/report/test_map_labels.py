"""Words on the map of clusters."""

import numpy as np

from evenkeel.tasks.report.cluster_map import _labels


def test_a_word_stands_where_the_version_has_rows_and_where_most_of_them_are() -> None:
    places = np.array([[0.1, 0.1], [0.11, 0.1], [0.12, 0.1], [0.9, 0.9], [0.9, 0.92]], np.float32)
    regions = np.array([0, 0, 0, 1, 1], np.int32)
    texts = {place: [word * 3] for place, word in enumerate(("pear ", "pear ", "pear ", "plum ", "plum "))}
    before = np.array([0.3, 0.3, 0.3, 0.05, 0.05])
    after = np.array([0.0, 0.0, 0.2, 0.0, 0.8])
    assert list(_labels(places, before, after, regions, texts).items()) == [(2, "pear"), (4, "plum")]
    assert list(_labels(places, before[::-1].copy(), after, regions, texts)) == [4, 2]
