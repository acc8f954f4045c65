"""From a table of sources to a version that says under which licence each row is."""

import json
from pathlib import Path
from typing import Any

import pytest

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.outlook import foreseen, lines
from evenkeel.flows.pipeline import cluster_pool, prove_version, stage_version, tier_reached
from evenkeel.flows.recipe import parse
from evenkeel.infra import storage
from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import read_table
from evenkeel.tasks.publish.origin import of_document, origin_files
from evenkeel.tasks.publish.publish import publish
from evenkeel.tasks.publish.staging.step import read_staged
from evenkeel.tasks.reading.version import open_version
from evenkeel.tasks.step import InProcess, Run
from evenkeel.tasks.versions.takedown import takedown
from tests.flows.conftest import write_shards

SOURCES = """pattern,source,licence,creator,terms,url
shard-0.parquet,wiki,cc-by-4.0,Wikimedia,cite it,https://example.org/wiki
shard-1.parquet,forum,proprietary,Forum Ltd,do not copy,
shard-2.parquet,papers,cc0-1.0,,,
gone-*,old,MIT,,,
"""


@pytest.mark.slow
def test_licences_go_from_a_table_to_rows_filters_gates_and_files(document: dict[str, Any], tmp_path: Path) -> None:
    write_shards(tmp_path / "pool", rows=300)
    (tmp_path / "sources.csv").write_text(SOURCES)
    given = {"sources": str(tmp_path / "sources.csv"), "allow": ["cc-by-4.0", "cc0-1.0"]}
    document |= {"provenance": given, "clustering": {"levels": [12, 3], "iterations": 2}, "sampling": {"target": 90}}
    document["gates"] = {"suite": "first-version", "change": {"coverage": {"at_least": 0}}}
    document["tier"] = {"name": "L1", "requires": {"licences": True, "gates": ["allowed_values"]}}
    recipe = parse(document)
    run = Run(recipe.workspace, recipe.dataset, tmp_path / "scratch")
    lineage = resolve_lineage(recipe, recipe.workspace)
    warned = [line for line in lines(foreseen(recipe, lineage, 300, True)) if "provenance" in line]
    assert len(warned) == 1
    assert "1 patterns of provenance.sources match no shard: gone-*" in warned[0]

    staged = stage_version(recipe, lineage, cluster_pool(recipe, lineage, InProcess(run)), InProcess(run))
    proven = prove_version(recipe, recipe.workspace, staged, InProcess(run))
    failed = [str(one["reason"]) for one in proven.validate.facts["failed"]]
    assert any(one.startswith("allowed_values(group.licence)") for one in failed), "rows of the forum are in it"
    found = tier_reached(recipe, proven.validate, None)
    assert found is not None
    assert (found.name, "allowed_values did not pass" in found.short) == ("L0", True)

    document["filters"] = [{"keep": "licence in ['cc-by-4.0', 'cc0-1.0']", "missing": "drop"}]
    recipe = parse(document)
    staged = stage_version(recipe, lineage, cluster_pool(recipe, lineage, InProcess(run)), InProcess(run))
    proven = prove_version(recipe, recipe.workspace, staged, InProcess(run))
    assert not [one for one in proven.validate.facts["failed"] if "licence" in str(one["reason"])]
    assert staged.stage.counts["filtered"] == 100
    card = storage.read_bytes(storage.join(proven.report.uri, "card.html")).decode()
    assert 'href="https://example.org/wiki"' in card
    assert "<span>tier L1</span>" in card
    assert "L1: suite first-version" in card
    assert "Forum Ltd" in card

    plain = recipe.model_dump(mode="json")
    files = origin_files(read_staged(proven.stage), "notes", 1, plain, proven.sources, {"wiki", "papers"})
    steps = {name: ref.model_dump(mode="json") for name, ref in proven.steps().items()}
    tier = tier_reached(recipe, proven.validate, None)
    assert tier is not None
    source = {
        "tier": tier.model_dump(mode="json"),
        "steps": steps,
        "recipe": plain,
        **lineage.document(),
        **of_document(proven.sources),
    }
    profile = {f"profile/{name}.parquet": storage.join(proven.measure.uri, f"{name}.parquet") for name in
               ("clusters", "groups", "totals", "balance")}  # fmt: skip
    extras = {**files, **profile, "profile/sketch.npy": storage.join(proven.measure.uri, "sketch.npy")}
    publish(recipe.destination, "notes", proven.stage, extras, source, recipe.workspace)
    address = storage.join(recipe.destination.uri, "notes")
    version = open_version(address)
    rows = version.to_pandas(["ek_shard", "ek_signal_licence", "ek_signal_source", "ek_id"])
    assert set(zip(rows["ek_shard"], rows["ek_signal_source"], rows["ek_signal_licence"], strict=True)) == {
        (0, "wiki", "cc-by-4.0"),
        (2, "papers", "cc0-1.0"),
    }
    assert [one["source"] for one in version.manifest.document["provenance"]["sources"]] == [
        "forum", "old", "papers", "wiki",
    ]  # fmt: skip
    prov = json.loads(storage.read_bytes(storage.join(version.location, "prov.json")))
    assert prov["wasDerivedFrom"]["_:of0"] == {
        "prov:generatedEntity": "ek:shard/0",
        "prov:usedEntity": "ek:source/wiki",
    }
    assert prov["entity"]["ek:source/wiki"]["dct:license"] == "cc-by-4.0"
    assert prov["wasAttributedTo"]["_:by0"] == {
        "prov:entity": "ek:source/forum",
        "prov:agent": "ek:creator/Forum%20Ltd",
    }
    croissant = json.loads(storage.read_bytes(storage.join(version.location, "croissant.json")))
    assert croissant["license"] == ["cc-by-4.0", "cc0-1.0"]
    rows_files = croissant["distribution"][-1]
    assert rows_files["includes"] == "data/*.parquet"
    assert "containedIn" not in rows_files, "its reader would look for an archive and find no row"
    names = {one["@id"]: one["dataType"] for one in croissant["recordSet"][0]["field"]}
    assert names["rows/ek_signal_licence"] == "sc:Text"
    assert names["rows/ek_weight"] == "sc:Float"

    gone = str(rows["ek_id"][0])
    takedown(recipe.destination, "notes", [gone], recipe.workspace, reason="asked for", dry_run=False, republish=True)
    again = open_version(address)
    assert again.version == 2
    assert open_version(address, tier="L1").version == 2, "the gates were asked again"
    groups = read_table(storage.join(again.location, "profile", "groups.parquet")).to_pandas().set_index("group")
    assert groups.loc["licence", "after"].sum() == again.rows == version.rows - 1, "groups of signals are counted anew"
    assert storage.exists(storage.join(again.location, "sources.parquet"))
    assert "Wikimedia" in storage.read_bytes(storage.join(again.location, "card.html")).decode()


def test_a_shard_without_a_source_stops_before_it_is_read(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "sources.csv").write_text("pattern,licence\nshard-0*,MIT\n")
    recipe = parse({**document, "provenance": {"sources": str(tmp_path / "sources.csv")}})
    lineage = resolve_lineage(recipe, recipe.workspace)
    run = Run(recipe.workspace, recipe.dataset, tmp_path / "scratch")
    with pytest.raises(InputError, match="2 shards match no line"):
        cluster_pool(recipe, lineage, InProcess(run))
    assert not Path(recipe.workspace).exists(), "no step has run"
