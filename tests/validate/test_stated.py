"""Stated properties as gates: rows that break them are named on pages by their ids, and nothing checked is no pass."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from evenkeel.expectations.data_docs import Subject, render_data_docs
from evenkeel.expectations.expectation import NotApplicable
from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.tables import read_table, write_table
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.properties.version_rows import VersionRows
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.results import results_of
from evenkeel.tasks.validate.stated import check_stated, measurable, measure_stated
from evenkeel.tasks.validate.step import VALIDATE
from tests.validate.pools import Curated

HOLDS = "length(text) > 0 implies matches(text, 'number|script')"
BROKEN = "licence == 'CC0-1.0' implies not matches(text, 'AKIA')"
VACUOUS = "length(text) > 100000 implies language is not null"
GROUPS = "forall language, licence: count >= 40"


@pytest.mark.long
def test_rows_and_groups_that_break_a_property_are_named(curated: Curated) -> None:
    added: list[object] = [{"expect": "holds", "property": text} for text in (HOLDS, BROKEN, VACUOUS, GROUPS)]
    added += [{"expect": "covers", "over": {"licence": ["CC0-1.0", "CC-BY-4.0", "none"]}, "at_least": 0.9}]
    added += [
        {"expect": "expect_column_values_to_not_match_regex", "column": "text", "regex": "<script", "severity": "warn"},
        {"expect": "expect_column_values_to_be_in_set", "column": "licence", "value_set": ["CC0-1.0", "CC-BY-4.0"]},
        {"expect": "expect_column_unique_value_count_to_be_between", "column": "language", "min_value": 50},
    ]
    gates = GatesConfig.model_validate({"suite": "first-version", "add": added})
    ref = VALIDATE(gates, ValidateInputs.of(curated.done), curated.run)
    found = {one.label: one for one in results_of(ref) if one.concern == "properties"}
    assert found[f"holds({HOLDS})"].status == "passed"

    pool, kept = Pool.open(curated.done["ingest"]), set(Selection.open(curated.done["sample"]).row_ids().tolist())
    broken = found[f"holds({BROKEN})"]
    keys = {
        str(name)
        for block in pool.blocks
        for row, name, text in zip(
            pool.table(block)["row_id"].to_pylist(),
            pool.table(block)["id"].to_pylist(),
            pool.payload(block)["text"].to_pylist(),
            strict=True,
        )
        if row in kept and "AKIA" in text
    }
    assert {item.name for item in broken.offenders} <= keys
    assert broken.value == len(keys) > 0
    assert all("AKIAABC" not in item.why and item.examples for item in broken.offenders)

    vacuous = found[f"holds({VACUOUS})"]
    assert vacuous.status == "failed"
    assert vacuous.found == "vacuous: nothing was checked"
    small = found[f"holds({GROUPS})"]
    assert small.status == "failed"
    assert small.offenders[0].scope == "language, licence"
    assert "count = " in small.offenders[0].why
    assert found["covers(licence)"].value == pytest.approx(2 / 3)

    theirs = {one.label: one for one in results_of(ref) if one.concern == "columns"}
    scripts = theirs["expect_column_values_to_not_match_regex(text)"]
    assert scripts.status == "warned"
    assert "on all 300 rows of the version, block by block" in scripts.reason
    assert all("<script" in item.why for item in scripts.offenders[:-1])
    assert len(scripts.offenders) > 2
    assert theirs["expect_column_values_to_be_in_set(licence)"].status == "passed"
    few = theirs["expect_column_unique_value_count_to_be_between(language)"]
    assert (few.status, few.reason) == ("failed", "10, on all 300 rows of the version")

    page = render_data_docs(results_of(ref), Subject("topics", ""))["properties.html"]
    assert broken.offenders[0].name.replace("<", "&lt;").replace(">", "&gt;") in page


def test_columns_and_types_are_looked_at_before_the_work(curated: Curated) -> None:
    pool = Pool.open(curated.done["ingest"])

    def check(text: str, signals: tuple[str, ...] = ()) -> None:
        gates = GatesConfig.model_validate({"add": [{"expect": "holds", "property": text}]})
        check_stated(gates.expectations(), pool, signals)

    check("loss > 3 and language is not null", ("loss",))
    with pytest.raises(RecipeError, match="there is no column 'langage'"):
        check("loss > 3 and langage is not null", ("loss",))
    with pytest.raises(RecipeError, match="a type does not fit"):
        check("text > 3")
    with pytest.raises(RecipeError, match="a type does not fit"):
        check("forall licence: mean(text) > 3")


def test_a_contradiction_never_becomes_a_recipe() -> None:
    with pytest.raises(ValidationError, match="cannot be met"):
        GatesConfig.model_validate({"add": [{"expect": "holds", "property": "x > 5 and x < 3"}]})
    with pytest.raises(ValidationError, match="not understood"):
        GatesConfig.model_validate({"add": [{"expect": "holds", "property": "x >"}]})


def test_an_empty_version_is_vacuous(curated: Curated, tmp_path: Path) -> None:
    table = read_table(storage.join(curated.done["sample"].uri, "selection.parquet"))
    write_table(str(tmp_path / "selection.parquet"), table.slice(0, 0))
    stated = [{"expect": "holds", "property": text} for text in (HOLDS, GROUPS)]
    rows = VersionRows(Pool.open(curated.done["ingest"]), str(tmp_path), "gates")
    gates = GatesConfig.model_validate({"add": stated}).expectations()
    found = measure_stated(gates, rows, None, 0, str(tmp_path), True, curated.run)
    assert found["checked"].tolist() == [0, 0]


def test_what_a_published_version_does_not_hold_is_left_out_and_said(curated: Curated) -> None:
    rows = VersionRows(Pool.open(curated.done["ingest"]), curated.done["sample"].uri, "gates")
    stated = [{"expect": "holds", "property": text} for text in (HOLDS, "loss > 3 implies text is not null")]
    here, gone = GatesConfig.model_validate({"add": stated}).add
    assert measurable([here, gone], rows) == [here]
    table = measure_stated([here], rows, None, 300, "", True, curated.run)
    with pytest.raises(NotApplicable, match="not scanned"):
        gone.measure(table)
