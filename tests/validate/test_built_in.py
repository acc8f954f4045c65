"""Expectations of Great Expectations by their own names: on all rows or on a sample, from a recipe or a suite file."""

import json
import re
from pathlib import Path

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pyarrow as pa
import pytest
from great_expectations.core.expectation_suite import ExpectationSuite
from pydantic import ValidationError

from evenkeel.expectations.concerns.built_in import BuiltIn, built_in_names
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.step import Run
from evenkeel.tasks.validate.built_in import check_built_in, measure_built_in
from evenkeel.tasks.validate.config import GatesConfig
from tests.properties.versions import write_version

ADDED = [
    {"expect": "expect_column_values_to_match_regex", "column": "city", "regex": "^[A-Z]", "mostly": 0.9},
    {"expect": "expect_column_values_to_match_regex", "column": "city", "regex": "^[A-Z]", "mostly": 0.99},
    {"expect": "expect_column_values_to_not_be_null", "column": "city"},
    {"expect": "expect_column_pair_values_a_to_be_greater_than_b", "column_A": "y", "column_B": "x"},
    {"expect": "expect_column_values_to_be_unique", "column": "key"},
    {"expect": "expect_column_median_to_be_between", "column": "x", "min_value": 400, "max_value": 600},
    {"expect": "expect_table_row_count_to_be_between", "min_value": 10, "max_value": 2000},
    {"expect": "expect_column_to_exist", "column": "nothing"},
    {"expect": "expect_column_values_to_be_between", "column": "city", "min_value": 3},
]


def cities() -> pa.Table:
    """Return a thousand rows with one city in small letters in twenty, one that is null, and a key that repeats."""
    city = ["Bonn" if row % 20 else "bonn" for row in range(1000)]
    x = np.arange(1000.0)
    keys = [f"k{row}" for row in range(999)] + ["k5"]
    return pa.table({"city": [*city[:-1], None], "x": x, "y": x + (x != 333), "key": keys})


@pytest.mark.long
def test_what_is_found_is_what_the_library_finds_on_the_whole(tmp_path: Path) -> None:
    """Blocks together give the counts of one frame; only what needs the rows together is read from a sample."""
    table = cities()
    gates = GatesConfig.model_validate({"suite": "first-version", "add": ADDED}).add
    ours = [one for one in gates if isinstance(one, BuiltIn)]
    rows = write_version(tmp_path, table, block_rows=170)
    run = Run(str(tmp_path), "cities", tmp_path)
    found = measure_built_in(ours, rows, 1000, 100_000, run).set_index("key")
    lenient, strict, null, pair, unique, median, count, there, wrong = (found.loc[one.key] for one in ours)
    assert (lenient["unexpected"], lenient["missing"], strict["unexpected"]) == (50, 1, 50)
    assert [one["name"] for one in strict["unexpected_rows"][:2]] == ["row-0", "row-20"]
    assert [one["name"] for one in null["unexpected_rows"]] == ["row-999"]
    assert [one["name"] for one in pair["unexpected_rows"]] == ["row-333"]
    assert sorted(one["name"] for one in unique["unexpected_rows"]) == ["row-5", "row-999"]
    assert (median["success"], count["success"], there["success"]) == (True, True, False)
    assert "on all 1,000 rows of the version, block by block" in lenient["where"]
    assert "same type" in wrong["error"]

    frame = found.reset_index()
    verdicts = [one.holds(one.measure(frame)) for one in ours[:-1]]
    assert verdicts == [True, False, False, False, False, True, True, False]
    with pytest.raises(RuntimeError, match="same type"):
        ours[-1].measure(frame)

    context = gx.get_context(mode="ephemeral")
    whole = context.data_sources.add_pandas("whole").add_dataframe_asset("whole")
    batch = whole.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table.to_pandas()})
    theirs = batch.validate(gxe.ExpectColumnValuesToMatchRegex(column="city", regex="^[A-Z]", mostly=0.9))
    assert (theirs.success, theirs.result["unexpected_count"]) == (True, lenient["unexpected"])

    sampled = measure_built_in(ours, rows, 1000, 100, run).set_index("key")
    (counted,) = re.findall(r"on a sample of (\d+) of 1,000 rows", str(sampled.loc[ours[5].key]["where"]))
    assert 70 < int(counted) < 130
    assert sampled.loc[ours[0].key]["unexpected"] == 50


def test_a_suite_of_the_library_can_be_attached_as_its_file(tmp_path: Path) -> None:
    suite = ExpectationSuite(
        name="cities",
        expectations=[
            gxe.ExpectColumnValuesToNotBeNull(column="city", severity="warning"),
            gxe.ExpectColumnMedianToBeBetween(column="x", min_value=1),
        ],
    )
    (tmp_path / "suite.json").write_text(json.dumps(suite.to_json_dict()))
    gates = GatesConfig.model_validate({"suite_file": str(tmp_path / "suite.json"), "add": ADDED[:1]})
    (tmp_path / "suite.json").unlink()
    again = GatesConfig.model_validate(gates.model_dump(mode="json"))
    assert again == gates
    added = {one.type: one for one in again.add if isinstance(one, BuiltIn)}
    assert [(one.type, one.severity) for one in added.values()] == [
        ("expect_column_values_to_match_regex", "block"),
        ("expect_column_values_to_not_be_null", "warn"),
        ("expect_column_median_to_be_between", "block"),
    ]
    with pytest.raises(ValidationError, match="cannot be read as a suite"):
        GatesConfig.model_validate({"suite_file": str(tmp_path / "suite.json")})
    (tmp_path / "other.json").write_text("[1, 2]")
    with pytest.raises(ValidationError, match="no list `expectations`"):
        GatesConfig.model_validate({"suite_file": str(tmp_path / "other.json")})


def test_unknown_names_and_parameters_are_refused() -> None:
    assert "expect_column_values_to_match_regex" in built_in_names()
    with pytest.raises(ValidationError, match="did you mean expect_column_values_to_match_regex"):
        GatesConfig.model_validate({"add": [{"expect": "expect_column_values_to_match_regexp", "column": "a"}]})
    gates = GatesConfig.model_validate(
        {"add": [{"expect": "expect_column_values_to_be_in_set", "column": "a", "of": 3}]}
    )
    with pytest.raises(RecipeError, match="does not take the parameters") as raised:
        check_built_in(gates.add)
    assert "of" in str(raised.value)
