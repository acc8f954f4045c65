"""Entries, bins and a gate on them in one recipe, from source to card; later versions keep the edges of bins."""

from pathlib import Path
from typing import Any

import pytest

from evenkeel.flows.lineage import resolve_lineage, same_signals
from evenkeel.flows.pipeline import cluster_pool, prove_version, stage_version
from evenkeel.flows.recipe import parse
from evenkeel.infra import storage
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.manifest import Manifest
from evenkeel.tasks.signal.kinds.bins import BinsSignal
from evenkeel.tasks.step import InProcess, Run


@pytest.mark.slow
def test_a_recipe_with_entries_bins_and_a_gate_on_them(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "entries.txt").write_text("about 1\nabout 11\nabout 3\nnote\nunicorn\n")
    recipe = parse(
        {
            **document,
            "entries": [
                {"name": "concepts", "uri": str(tmp_path / "entries.txt"), "match": "words"},
                {"name": "topics", "column": "topic"},
                {"name": "pairs", "of": "concepts", "together": True},
            ],
            "bins": {"words": {"of": "tokens", "width": 2}, "spread": {"of": "tokens", "quantiles": 2}},
            "sampling": {"target": 240, "strategy": {"name": "entries", "over": ["concepts", "topics", "pairs"]}},
            "gates": {
                "add": [
                    {
                        "expect": "conditional_entropy",
                        "scope": "group.topic",
                        "given": "tags.concepts",
                        "at_least": 0.05,
                    },
                    {"expect": "normalised_entropy", "scope": "group.words", "at_least": 0, "severity": "warn"},
                ]
            },
        }
    )
    run_step = InProcess(Run(recipe.workspace, recipe.dataset, tmp_path / "scratch"))
    lineage = resolve_lineage(recipe, recipe.workspace)
    pool = cluster_pool(recipe, lineage, run_step)
    assert {*pool.signals} == {"concepts", "topics", "pairs", "words", "spread"}
    staged = stage_version(recipe, lineage, pool, run_step)
    assert staged.sample.counts["kept"] == 240
    assert staged.sample.facts["shortfall"] == 0
    proven = prove_version(recipe, recipe.workspace, staged, run_step)
    assert proven.validate.facts["failed"] == []
    profile = Profile.open(proven.measure)
    totals = profile.tag_totals.set_index("signal")
    assert totals.loc["concepts", "unseen"] == 1
    assert totals["kept_tags"].tolist() == totals["tags"].tolist()
    assert {"topic", "words", "spread"} <= set(profile.groups["group"])
    assert set(profile.groups.query("group == 'words'")["value"]) == {"[4, 6)"}
    card = storage.read_bytes(storage.join(proven.report.uri, "card.html")).decode()
    assert "1 of 5 entries that were asked for are in no row: unicorn." in card

    steps = {name: ref.model_dump(mode="json") for name, ref in pool.steps().items()}
    published: dict[str, Any] = {"document": {"steps": steps}}
    later = same_signals(recipe, Manifest.model_construct(**published))
    spread = later.signals[-1]
    assert isinstance(spread, BinsSignal)
    assert spread.edges == pool.signals["spread"].facts["edges"] != []
    assert later.signals[:-1] == recipe.signals[:-1]
