"""The boxes of the card: areas are shares, they fill their view, and every link leads to a view of the page."""

import re

import numpy as np
import pytest

from evenkeel.tasks.report.treemap import squarify
from tests.report.cards import Card


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_boxes_fill_the_view_by_their_sizes_and_do_not_overlap(count: int) -> None:
    sizes = np.sort(np.random.default_rng(count).pareto(1.0, count) + 0.01)[::-1]
    boxes = np.array(squarify(sizes.tolist(), 4.0, 3.0))
    np.testing.assert_allclose(boxes[:, 2] * boxes[:, 3], 12 * sizes / sizes.sum())
    left, top = boxes[:, 0], boxes[:, 1]
    right, bottom = left + boxes[:, 2], top + boxes[:, 3]
    assert min(left.min(), top.min()) >= 0
    assert right.max() == pytest.approx(4)
    assert bottom.max() == pytest.approx(3)
    wide = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    high = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    overlap = np.clip(wide, 0, None) * np.clip(high, 0, None)
    np.testing.assert_allclose(overlap - np.diag(np.diag(overlap)), 0, atol=1e-9)


def test_boxes_of_the_published_example_are_those_of_the_paper() -> None:
    """Bruls, Huizing and van Wijk 2000, figure 4: sizes 6, 6, 4, 3, 2, 2, 1 in a rectangle of 6 x 4."""
    boxes = squarify([6, 6, 4, 3, 2, 2, 1], 6, 4)
    expected = [(0, 0, 3, 2), (0, 2, 3, 2), (3, 0, 12 / 7, 7 / 3), (3 + 12 / 7, 0, 9 / 7, 7 / 3)]
    np.testing.assert_allclose(boxes[:4], expected)


def test_every_box_that_opens_has_its_view(first: Card) -> None:
    part = first.html.partition('<div class="boxes">')[2].partition("</section>")[0]
    views = re.findall(r'id="(boxes[-\d]*)"', part)
    assert views[0] == "boxes"
    assert len(views) == len(set(views)) > 3
    assert set(re.findall(r'href="#([^"]+)"', part)) == set(views)
    for stage in ("before", "after"):
        top = part.partition(f'<div class="tiles {stage}"')[2].partition("</div>")[0]
        shares = [float(one) for one in re.findall(r"width:([\d.]+)%", top)]
        heights = [float(one) for one in re.findall(r"height:([\d.]+)%", top)]
        assert np.dot(shares, heights) == pytest.approx(1e4, rel=0.01)
