"""The validate step on a real profile: verdicts are facts, evidence is on disk, offenders have rows."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.results import results_of
from evenkeel.tasks.validate.step import VALIDATE
from tests.validate.pools import HOSTILE, Curated, as_previous, curate, write_shards

STRICT_GROUP = {"expect": "smallest_share", "scope": "group.language", "at_least": 0.2}


def check(curated: Curated, gates: dict[str, object] | None = None, previous: StepRef | None = None) -> StepRef:
    inputs = dict(curated.done)
    if previous is not None:
        inputs["previous"] = previous
    return VALIDATE(GatesConfig.model_validate(gates or {}), ValidateInputs.of(inputs), curated.run)


@pytest.fixture(scope="module")
def first(curated: Curated) -> StepRef:
    return check(curated, {"change": {"pattern_rate": {"at_most": 0.0}}, "add": [STRICT_GROUP]})


def test_a_failed_gate_is_a_fact_not_an_error(first: StepRef) -> None:
    assert first.facts["success"] is False
    failed = {one["expectation"]: one for one in first.facts["failed"]}
    assert failed.keys() == {"smallest_share(group.language)", "pattern_rate(secret)"}
    assert "at least 20" in failed["smallest_share(group.language)"]["reason"]
    assert "pattern_rate(email)" in [one["expectation"] for one in first.facts["warnings"]]
    assert first.counts["failed"] == 2
    assert json.dumps(first.model_dump(mode="json"))


def test_drift_is_not_checked_without_a_last_version_and_that_is_said(first: StepRef) -> None:
    assert any("psi" in line and "no last version" in line for line in first.facts["skipped"])


def test_results_name_offenders_with_rows_of_theirs(first: StepRef) -> None:
    offenders = next(one for one in results_of(first) if one.expectation == "smallest_share").offenders
    named = {item.name: item for item in offenders}
    assert HOSTILE in named
    assert named[HOSTILE].examples
    for item in offenders:
        assert 1 <= len(item.examples) <= 3
        assert all("\x1b" not in one.text for one in item.examples)


def test_secrets_and_addresses_are_found_and_masked(first: StepRef) -> None:
    results = {one.label: one for one in results_of(first)}
    assert results["pattern_rate(secret)"].value
    written = storage.read_bytes(storage.join(first.uri, "results.json")).decode()
    assert "AKIAABCDEFGHIJKLMNOP" not in written
    assert "jane.doe" not in written
    assert "AKI… (20 characters)" in written


def test_an_unchanged_version_passes_all_drift_checks(curated: Curated) -> None:
    found = check(curated, {"change": {"pattern_rate": {"severity": "warn"}}}, as_previous(curated))
    results = {one.label: one for one in results_of(found)}
    assert found.facts["success"], found.facts["failed"]
    for label in ("psi(level-1, previous)", "moved_rows(groups, previous)", "lost_groups(groups, previous)"):
        assert results[label].status == "passed"
    assert results["psi(level-1, previous)"].value == pytest.approx(0)
    assert results["inertia_change"].value == pytest.approx(0)


def test_other_clusters_are_not_compared_by_number(curated: Curated) -> None:
    previous = as_previous(curated).model_copy(update={"facts": {"centroid_hash": "other"}})
    results = {one.label: one for one in results_of(check(curated, {}, previous))}
    assert results["psi(level-1, previous)"].status == "skipped"
    assert "same clusters" in results["psi(level-1, previous)"].reason
    assert results["psi(groups, previous)"].status == "passed"


def test_a_gate_on_a_column_that_is_not_there_is_a_recipe_error(curated: Curated) -> None:
    with pytest.raises(RecipeError, match="does not have") as raised:
        check(curated, {"add": [{"expect": "gini", "scope": "group.langauge"}]})
    assert "group.langauge" in str(raised.value)
    assert "it has group.language" in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.long
def test_a_lost_group_blocks(tmp_path: Path, curated: Curated) -> None:
    """A run on a pool that lost a language is stopped by name, though it is perfectly balanced in itself."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    shards = write_shards(tmp_path / "shards")
    for shard in sorted(shards.glob("*.parquet")):
        table = pq.read_table(shard)
        pq.write_table(table.filter(pc.not_equal(table["language"], "lang-0")), shard)
    poorer = curate(tmp_path, shards)
    found = check(poorer, {}, as_previous(curated))
    failed = {one["expectation"]: one for one in found.facts["failed"]}
    assert "lost_groups(groups, previous)" in failed
    assert "group.language lang-0" in failed["lost_groups(groups, previous)"]["offenders"][0]


@pytest.mark.long
def test_excluded_rows_in_the_version_block(curated: Curated, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from evenkeel.tasks.sample.selection import Selection

    kept = Selection.open(curated.done["sample"]).row_ids()[:3]
    dropped = pq.read_table(f"{curated.done['dedup'].uri}/dropped.parquet")
    wrong = pa.table(
        {
            "row_id": kept,
            "duplicate_of": kept,
            "kind": ["excluded"] * 3,
            "similarity": pa.array([1.0] * 3, pa.float32()),
            "rule": pa.nulls(3, pa.string()),
        }
    ).cast(dropped.schema)
    (tmp_path / "dedup").mkdir()
    pq.write_table(wrong, tmp_path / "dedup" / "dropped.parquet")
    done = {**curated.done, "dedup": StepRef(step="dedup", key="wrong", uri=str(tmp_path / "dedup"))}
    found = check(replace(curated, done=done))
    failed = {one["expectation"]: one for one in found.facts["failed"]}
    assert failed["exclusions_honoured"]["reason"] == "exclusions_honoured: 3, at most 0"


@pytest.mark.long
def test_a_pool_without_groups_or_texts_is_checked_for_the_rest(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    shards = write_shards(tmp_path / "shards", rows=400)
    for shard in sorted(shards.glob("*.parquet")):
        pq.write_table(pq.read_table(shard).select(["vector"]), shard)
    found = check(curate(tmp_path, shards, target=100, levels=(20,), groups=[]))
    results = {one.label: one for one in results_of(found)}
    assert found.facts["success"], found.facts["failed"]
    assert results["moved_rows(groups, previous)"].status == "skipped"
    assert results["near_duplicate_rate"].status in ("passed", "warned")
    assert results["coverage(level-1)"].status == "passed"
