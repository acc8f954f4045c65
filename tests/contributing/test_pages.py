"""The how-to pages do what they say: each is followed to the letter in a scratch package."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.contributing.scratch import Scratch

SIZES = (40, 160, 360)


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    """A recipe for a small pool of three clusters of unlike sizes."""
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(len(SIZES)), SIZES)
    vectors = (10.0 * np.eye(3)[cluster] + rng.normal(0, 0.1, (len(cluster), 3))).astype(np.float32)
    table = pa.table({"id": [f"row-{row}" for row in range(len(cluster))], "vector": list(vectors)})
    texts = [f"{'abc'[one] * (row % 5 + 1)} {row}" for row, one in enumerate(cluster)]
    table = table.append_column("text", pa.array(texts))
    (tmp_path / "pool").mkdir()
    pq.write_table(table, tmp_path / "pool" / "part.parquet")
    return {
        "dataset": "scratch",
        "source": {"uri": str(tmp_path / "pool")},
        "clustering": {"levels": [3]},
        "sampling": {"target": 60, "strategy": "flat"},
        "destination": {"uri": str(tmp_path / "published")},
        "workspace": str(tmp_path / "workspace"),
    }


def run(
    scratch: Scratch, recipe: dict[str, Any], last: str = "stage", tests: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Run the page's tests, then return the references of all steps of a recipe that holds what the page says."""
    path = scratch.folder / "recipe.yaml"
    sections = {
        name: value if name != "source" else {**recipe[name], **value} for name, value in scratch.recipe.items()
    }
    path.write_text(yaml.safe_dump({**recipe, **sections}))
    arguments = ["-m", "tests.contributing.steps", str(path), last, *tests]
    found: dict[str, dict[str, Any]] = json.loads(scratch.python(*arguments))
    return found


def changed(first: dict[str, dict[str, Any]], second: dict[str, dict[str, Any]]) -> set[str]:
    """Return the steps whose keys differ."""
    return {name for name in first if first[name]["key"] != second[name]["key"]}


@pytest.mark.slow
def test_strategy(tmp_path: Path, recipe: dict[str, Any]) -> None:
    scratch = Scratch("strategy", tmp_path / "site")
    done = run(scratch, recipe, tests=scratch.tests())
    quotas = pq.read_table(Path(done["sample"]["uri"]) / "quotas.parquet").sort_by("size")
    assert quotas["size"].to_pylist() == list(SIZES)
    assert quotas["quota"].to_pylist() == [10, 20, 30]
    assert done["sample"]["facts"]["strategy"] == "by-power"

    scratch.install("1.1")
    assert changed(done, run(scratch, recipe)) == {"sample", "stage"}


@pytest.mark.long
def test_strategy_in_our_tree(tmp_path: Path) -> None:
    found = Scratch("strategy", tmp_path / "site").in_our_tree(
        "evenkeel.tasks.sample.strategies",
        """
        from evenkeel.flows.recipe_docs import table
        from evenkeel.tasks.sample.config import SamplingConfig
        print(SamplingConfig.model_validate({"strategy": "by-power", "target": 5}).strategy)
        print(table())
        """,
    )
    assert found.startswith("name='by-power' power=0.5")
    assert "| `sampling.strategy[by-power].power` | float | `0.5` | 0 = equal quotas" in found


@pytest.mark.slow
def test_expectation(tmp_path: Path, recipe: dict[str, Any]) -> None:
    scratch = Scratch("expectation", tmp_path / "site")
    done = run(scratch, recipe, "report", scratch.tests())
    (failed,) = (one for one in done["validate"]["facts"]["failed"] if one["expectation"] == "kept_share")
    assert failed["offenders"] == ["totals kept: 60 of 560 rows"]
    assert failed["sentence"] == "at least 50% of the rows read are kept"
    (page,) = (Path(done["report"]["uri"]) / "docs").glob("*accounting*.html")
    assert "60 of 560 rows" in page.read_text()

    scratch.install("1.1")
    assert changed(done, run(scratch, recipe, "report")) == {"validate", "report"}


@pytest.mark.slow
def test_expectation_in_our_tree(tmp_path: Path) -> None:
    found = Scratch("expectation", tmp_path / "site").in_our_tree(
        "evenkeel.expectations.concerns",
        """
        from evenkeel.expectations.reference import reference
        from evenkeel.tasks.validate.config import GatesConfig
        print(GatesConfig.model_validate({"add": [{"expect": "kept_share"}]}).add)
        print(reference())
        """,
    )
    assert "KeptShare(expect='kept_share'" in found
    assert "**`kept_share`** The version keeps a sensible share" in found


@pytest.mark.slow
def test_embedder(tmp_path: Path, recipe: dict[str, Any]) -> None:
    scratch = Scratch("embedder", tmp_path / "site")
    done = run(scratch, recipe, tests=scratch.tests())
    assert done["embed"]["facts"] | {"method": "letters", "dimension": 3} == done["embed"]["facts"]
    (block,) = (Path(done["embed"]["uri"]) / "vectors").glob("*.npy")
    assert np.load(block)[:2].tolist() == [[1, 0, 0], [2, 0, 0]]

    scratch.install("1.1")
    again = run(scratch, recipe)
    assert changed(done, again) == {"embed", "dedup", "cluster", "sample", "stage"}
    assert again["embed"]["facts"]["blocks_taken"] == 0


@pytest.mark.slow
def test_embedder_in_our_tree(tmp_path: Path) -> None:
    found = Scratch("embedder", tmp_path / "site").in_our_tree(
        "evenkeel.tasks.embed.embedders",
        """
        from pydantic import TypeAdapter
        from evenkeel.flows.recipe_docs import table
        from evenkeel.tasks.embed.config import AnyEmbedding
        print(TypeAdapter(AnyEmbedding).validate_python({"method": "letters"}).alphabet)
        print(table())
        """,
    )
    assert found.startswith("abcdefghijklmnopqrstuvwxyz")
    assert (
        "| `embedding[letters].alphabet` | str | `abcdefghijklmnopqrstuvwxyz` | The letters that are counted." in found
    )


@pytest.mark.slow
def test_signal(tmp_path: Path, recipe: dict[str, Any]) -> None:
    scratch = Scratch("signal", tmp_path / "site")
    done = run(scratch, recipe, tests=scratch.tests())
    signal = done["signals.share_of_a"]
    assert signal["counts"] == {"rows": sum(SIZES), "missing": 0}
    (block,) = (Path(signal["uri"]) / "column").glob("*.parquet")
    assert pq.read_table(block)["value"].to_pylist()[:2] == [1 / 3, 2 / 4]

    scratch.install("1.1")
    assert changed(done, run(scratch, recipe)) == {"signals.share_of_a", "sample", "stage"}


@pytest.mark.slow
def test_signal_in_our_tree(tmp_path: Path) -> None:
    found = Scratch("signal", tmp_path / "site").in_our_tree(
        "evenkeel.tasks.signal.kinds",
        """
        from pydantic import TypeAdapter
        from evenkeel.flows.recipe_docs import table
        from evenkeel.tasks.signal.config import AnySignal
        print(TypeAdapter(AnySignal).validate_python({"name": "x", "kind": "letter-share"}).letter)
        print(table())
        """,
    )
    assert found.startswith("e\n")
    assert "| `signals[letter-share].letter` | str | `e` | The letter that is counted." in found


@pytest.mark.slow
def test_annotation(tmp_path: Path, recipe: dict[str, Any]) -> None:
    scratch = Scratch("annotation", tmp_path / "site")
    done = run(scratch, recipe, tests=scratch.tests())
    assert done["annotations.cross-folds"]["counts"] == {"rows": 60}
    rows = pq.read_table(f"{done['stage']['facts']['location']}/data", columns=["ek_fold"])
    assert set(rows["ek_fold"].to_pylist()) == {0, 1, 2}

    scratch.install("1.1")
    assert changed(done, run(scratch, recipe)) == {"annotations.cross-folds", "stage"}


@pytest.mark.slow
def test_reader(tmp_path: Path, recipe: dict[str, Any]) -> None:
    scratch = Scratch("reader", tmp_path / "site")
    (tmp_path / "notes").mkdir()
    for shard in ("a.txt", "b.txt"):
        lines = [f"note {row} of {shard} about {'abcdefgh'[row % 8] * 9}" for row in range(100)]
        (tmp_path / "notes" / shard).write_bytes("\n".join(lines).encode() + b"\n\xff\n" * (shard == "a.txt"))
    recipe["source"]["max_quarantined"] = 0.02

    done = run(scratch, recipe, tests=scratch.tests())
    assert done["ingest"]["counts"] | {"read": 201, "pool": 200, "quarantined": 1} == done["ingest"]["counts"]
    assert done["ingest"]["facts"]["formats"] == ["lines"]
    assert done["sample"]["counts"]["kept"] == 60

    scratch.install("1.1")
    again = run(scratch, recipe)
    assert changed(done, again) == set(done)
    assert again["ingest"]["counts"] == done["ingest"]["counts"]
    reports = [json.loads(path.read_text()) for path in (Path(again["ingest"]["uri"]) / "reports").iterdir()]
    assert [report["taken"] for report in reports] == [False, False], "another version of the reader reads anew"


@pytest.mark.long
def test_reader_in_our_tree(tmp_path: Path) -> None:
    found = Scratch("reader", tmp_path / "site").in_our_tree(
        "evenkeel.tasks.ingest.readers",
        """
        from evenkeel.flows.recipe_docs import table
        from evenkeel.tasks.ingest.config import SourceConfig
        from evenkeel.tasks.ingest.reader import reader_of
        print(type(reader_of(SourceConfig(uri="notes", format="lines").format)).__name__)
        print(table())
        """,
    )
    assert found.startswith("LinesReader")
    assert (
        "| `source.format` | `auto`, `csv`, `digits`, `docstrings`, `jsonl`, `lines`, `npy`, `parquet`, `tumours` | "
        "`auto`" in found
    )
