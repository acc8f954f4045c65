"""Annotations are columns of a version: staged with the rows, cached apart, and absent where a recipe has none."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import StagedVersion, cluster_pool, stage_version
from evenkeel.flows.recipe import json_schema, parse
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.reading.stream import RowStream
from evenkeel.tasks.step import InProcess, Run

ROWS = 400


def staged(folder: Path, **sections: object) -> StagedVersion:
    """Stage a version of a small pool of texts with vectors, without Prefect."""
    source = folder / "shard.jsonl"
    if not source.exists():
        rows = [
            {"id": f"r{n}", "text": f"topic {n % 7} word {n}", "site": f"s{n % 40}", "vector": [n % 7, n % 3, n / 900]}
            for n in range(ROWS)
        ]
        source.write_text("\n".join(map(json.dumps, rows)))
    document = {
        "dataset": "annotated",
        "source": {"uri": str(source), "groups": ["site"], "rows_per_block": 128},
        "dedup": {"near": None},
        "clustering": {"levels": [12, 4]},
        "sampling": {"strategy": "flat", "target": 200},
        "destination": {"uri": str(folder / "published"), "rows_per_file": 60, "rows_per_group": 10},
        "workspace": str(folder / "workspace"),
        **sections,
    }
    recipe = parse(document)
    run = Run(recipe.workspace, recipe.dataset, folder / "scratch")
    lineage = resolve_lineage(recipe, run.workspace)
    return stage_version(recipe, lineage, cluster_pool(recipe, lineage, InProcess(run)), InProcess(run))


def rows_of(version: StagedVersion) -> pd.DataFrame:
    return pd.read_parquet(f"{version.stage.facts['location']}/data")


@pytest.mark.long
def test_columns_are_published_and_cached_apart(tmp_path: Path) -> None:
    plain = staged(tmp_path)
    first = staged(tmp_path, splits={"test": "10%"})
    second = staged(tmp_path, splits={"test": "10%"})
    third = staged(tmp_path, splits={"test": "10%", "by": "group.site"})
    assert not [name for name in rows_of(plain) if name in ("ek_split",)]
    assert rows_of(first)["ek_split"].value_counts().to_dict() == {"train": 180, "test": 20}
    assert rows_of(third).groupby("site")["ek_split"].agg(set).map(len).max() == 1
    assert (first.annotations, first.stage) == (second.annotations, second.stage)
    assert plain.sample == first.sample == third.sample
    fresh = staged(tmp_path, epochs={"fresh": 0.1})
    assert fresh.annotations["epochs"].facts["rows"] == 20
    assert fresh.stage == plain.stage
    assert plain.stage.key != first.stage.key != third.stage.key


def test_the_schema_knows_the_short_sections() -> None:
    known = json_schema()["properties"]
    assert {"splits", "stages", "order", "epochs", "entries", "annotations"} <= set(known)


@pytest.mark.slow
def test_no_near_duplicates_lie_across_splits(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    texts = []
    for _ in range(100):
        words = draw.integers(0, 5000, 40).tolist()
        for changed in range(3):
            texts.append(" ".join(f"w{one}" for one in [*words[:changed], -changed, *words[changed + 1 :]]))
    rows = [{"id": f"r{n}", "text": text, "site": "a", "vector": [n % 7, n % 3]} for n, text in enumerate(texts)]
    (tmp_path / "shard.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sampling = {"strategy": "random", "target": 90}
    version = rows_of(staged(tmp_path, dedup={"near": {"threshold": 0.7}}, splits={"test": "40%"}, sampling=sampling))
    grams = {
        split: [{tuple(words[at : at + 3]) for at in range(38)} for words in part["text"].str.split()]
        for split, part in version.groupby("ek_split")
    }
    assert {split: len(part) for split, part in grams.items()} == {"test": 36, "train": 54}
    assert max(len(one & other) / len(one | other) for one in grams["test"] for other in grams["train"]) < 0.1


STAGES = [{"name": "early", "share": 0.7}, {"name": "late", "share": 0.3, "raise": {"site": {"s1": 3}}}]


@pytest.mark.long
def test_rows_of_a_stage_lie_together_and_an_order_sorts_the_files(tmp_path: Path) -> None:
    version = staged(tmp_path, stages=STAGES, splits={"test": "10%"})
    rows, data = rows_of(version), f"{version.stage.facts['location']}/data"
    stream = RowStream(data, columns=["ek_id"], stage="late", split="train")
    train = rows[rows["ek_split"] == "train"]
    wanted = np.repeat(train["ek_id"].to_numpy(), train["ek_stage_late"].to_numpy())
    assert sorted(one for batch in stream.batches() for one in batch["ek_id"]) == sorted(wanted)
    assert len(stream.groups) < len(RowStream(data).groups) / 2
    ordered = staged(tmp_path, stages=STAGES, order={"by": "-row"})
    assert rows_of(ordered)["ek_rank"].tolist() == list(range(200))
    whole = rows_of(ordered)
    for rows_of_it in (
        whole[whole["ek_stage_early"] > 0],
        whole[(whole["ek_stage_early"] == 0) & (whole["ek_stage_late"] > 0)],
    ):
        assert rows_of_it["ek_row"].is_monotonic_decreasing
    assert sorted(rows_of(ordered)["ek_id"]) == sorted(rows["ek_id"])
    late = RowStream(f"{ordered.stage.facts['location']}/data", columns=["ek_rank"], stage="late", order=True)
    ranks = [int(one) for batch in late.batches() for one in batch["ek_rank"]]
    assert ranks == sorted(ranks)
    assert len(ranks) == 60
    assert len(late.groups) < len(RowStream(data).groups), "row groups that have nothing of the stage are not read"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"splits": {"test": 0.1, "by": "group.nowhere"}}, r"splits reads group\.nowhere, not among site"),
        ({"splits": {"test": 1.2}}, "less than 1"),
        ({"splits": [{"test": 0.1}, {"test": 0.2}]}, "there are two called 'splits'"),
        ({"splits": "10%"}, "splits: expected options"),
        ({"annotations": [{"kind": "split"}]}, "did you mean splits"),
    ],
)
def test_a_recipe_says_what_is_wrong(tmp_path: Path, sections: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        staged(tmp_path, **sections)
