"""A recipe whose filters read signals of texts runs from source to staged version and drops the rows they name."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import cluster_pool, stage_version
from evenkeel.flows.recipe import parse
from evenkeel.infra.compute import Compute
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import InProcess, Run

ENGLISH = "The people of the town have to be here with the food and the water that we need for all of them today. "
GERMAN = "Die Leute der Stadt müssen heute hier sein und das Essen und das Wasser haben, das wir für alle brauchen. "
KINDS: list[Callable[[int], str]] = [
    lambda row: ENGLISH * 3 + f"It is number {row}.",
    lambda row: f"Too short, number {row}.",
    lambda row: GERMAN * 3 + f"Es ist Nummer {row}.",
    lambda row: ENGLISH * 3 + f"Write to person{row}@example.org.",
]
ROWS = 120


def test_filters_read_signals_of_texts(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(ROWS, 4))
    rows = [{"id": f"r{row}", "vector": x[row].tolist(), "text": KINDS[row % 4](row)} for row in range(ROWS)]
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = {
        "dataset": "texts",
        "source": {"uri": str(tmp_path / "source"), "id": "id", "text": "text", "vector": "vector"},
        "signals": [
            {"name": "words", "kind": "text-statistics", "of": "words"},
            {"name": "gopher", "kind": "gopher-quality", "min_stop_words": None},
            {"name": "why", "kind": "failed-rule", "of": "gopher-quality"},
            {"name": "tongue", "kind": "language"},
            {"name": "pii", "kind": "personal-data"},
        ],
        "filters": [{"keep": "gopher == 1 and words > 50"}, {"keep": "tongue == 'en'"}, {"drop": "pii > 0"}],
        "dedup": {"exact": True, "near": None},
        "sampling": {"strategy": "flat", "target": 30},
        "destination": {"uri": str(tmp_path / "published")},
        "workspace": str(tmp_path / "workspace"),
    }
    recipe = parse(document)
    run_step = InProcess(Run(recipe.workspace, recipe.dataset, tmp_path / "scratch", Compute(threads=1)))
    lineage = resolve_lineage(recipe, recipe.workspace)
    made = stage_version(recipe, lineage, cluster_pool(recipe, lineage, run_step), run_step)
    pool = Pool.open(made.ingest, signals=made.signals)
    assert Selection.open(made.sample).row_ids().tolist() == pool.row_ids()[::4].tolist()
    reasons = pool.table(pool.blocks[0].name, ["group.why", "group.tongue"]).slice(0, 4).to_pydict()
    assert reasons["group.why"] == ["passes", "wordlike_words < 50", "stop_words < 2", "passes"]
    assert [reasons["group.tongue"][row] for row in (0, 2, 3)] == ["en", "de", "en"]
