"""Conditions and groups on frames give what they give on Arrow arrays: on pandas, whose calls cuDF has too."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from evenkeel.tasks.expression.evaluate import truths
from evenkeel.tasks.expression.frames import NotOnFrames, frame_of, true_rows
from evenkeel.tasks.expression.grammar import parse
from evenkeel.tasks.expression.property import parse_property
from evenkeel.tasks.properties.grouping import Grouping, grouped_on_frame
from tests.properties.test_language import condition
from tests.properties.test_scan import random_table

MORE = ["length(g) == 1", "lower(g) == 'a'", "starts(g, 'a') or g is null", "abs(x - 1) * 2 > y", "b is null", "not b"]


@pytest.mark.long
def test_conditions_on_frames_are_those_on_arrays() -> None:
    draw, seen = random.Random(8), 0
    for _ in range(60):
        table = random_table(draw, 12)
        for text in [condition(draw, 2, False), *MORE]:
            stated = parse(text, "here")
            expected = pc.fill_null(truths(stated, table), False).to_pylist()
            assert true_rows(stated, table, "cpu").tolist() == expected, text
            seen += sum(expected)
    assert seen > 200


@pytest.mark.parametrize(
    "text", ["x / y > 1", "matches(g, 'a')", "where(b, x, y) > 1", "x ** 2 > 1", "coalesce(x, y) > 1"]
)
def test_what_frames_do_not_compute_goes_over_arrays(text: str) -> None:
    with pytest.raises(NotOnFrames):
        true_rows(parse(text, "here"), random_table(random.Random(1), 5), "cpu")


def test_groups_on_frames_are_those_on_arrays() -> None:
    table = random_table(random.Random(3), 200).append_column("row_id", pa.array(np.arange(200, dtype=np.uint64)))
    stated = parse_property("forall g, x: count(b) >= 1 and sum(y) > 0 and max(y) > 1 and mean(y) > 0", "here")
    grouping = Grouping(stated.keys, stated.aggregates)
    whole = grouping.part(table)
    names = [name for name in whole.column_names if name[0] != "k"]
    by = {name: grouping._merged_by(name) for name in names}
    halves = pa.concat_tables([grouping.part(table.slice(0, 90)), grouping.part(table.slice(90))])
    found = grouped_on_frame(frame_of(halves, "cpu"), ["k0", "k1"], by, whole.schema)
    order = [("first", "ascending")]
    assert found.sort_by(order).to_pydict() == whole.sort_by(order).to_pydict()
