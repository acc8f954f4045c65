"""Every recipe that comes with the product runs and does what it is shown for."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evenkeel
from evenkeel.expectations.measures import balance
from evenkeel.flows.curate import curate
from evenkeel.flows.evaluate import evaluate
from evenkeel.flows.recipe import Recipe, load, ready_recipes


def placed(name: str, folder: Path, *overrides: str) -> Recipe:
    places = [f"destination.uri={folder}/published", f"workspace={folder}/workspace"]
    return load(name, [*places, "compute=inline", *overrides])


def run(recipe: Recipe) -> dict[str, Any]:
    found = curate(recipe)
    assert found["status"] == "published"
    return found


@pytest.mark.usefixtures("prefect_server")
def test_digits_teach_more_about_rare_ones(tmp_path: Path) -> None:
    recipe = placed("digits", tmp_path)
    found = run(recipe)
    assert (found["totals"]["read"], found["totals"]["kept"], found["notes"]) == (510, 102, [])
    answer = evaluate(recipe)
    assert answer.result.label == "digit"
    assert answer.result.tail.better >= 15
    assert answer.result.tail.gain > 0.05
    assert [band.classes for band in answer.result.bands] == [[str(digit)] for digit in range(10)]
    assert "the rarer half" in answer.sentence
    version = evenkeel.open(found["location"].partition("/versions/")[0])
    clusters, rows = version.clusters(), version.to_pandas()
    fives = clusters[(clusters["level"] == 1) & (clusters["name"].str.startswith("digit 5"))]
    among = rows[rows["ek_cluster_1"].isin(fives["id"])]
    assert len(among) == fives["kept"].sum() > 0
    assert (among["digit"] == "5").mean() > 0.5


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_digits_by_label_have_equal_shares(tmp_path: Path) -> None:
    found = run(placed("digits-by-label", tmp_path))
    shares = pd.read_parquet(found["data"])["digit"].value_counts()
    assert (shares.max() - shares.min(), shares.sum()) == (1, 102)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_pictures_teach_more_about_rare_ones_without_a_model(tmp_path: Path) -> None:
    recipe = placed("pictures", tmp_path)
    found = run(recipe)
    assert (found["totals"]["read"], found["totals"]["kept"], found["notes"]) == (510, 102, [])
    kept = pd.read_parquet(found["data"])["digit"].value_counts().to_numpy()
    pool = np.array([round(174 / rank) for rank in range(1, 11)])
    assert balance(kept)["kl_uniform"] < 0.5 * balance(pool)["kl_uniform"]
    answer = evaluate(recipe)
    assert answer.result.tail.better >= 15
    assert answer.result.tail.gain > 0.05


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_table_has_more_of_the_few(tmp_path: Path) -> None:
    recipe = placed("tumours", tmp_path)
    found = run(recipe)
    assert (found["totals"]["read"], found["totals"]["kept"], found["notes"]) == (393, 79, [])
    assert (pd.read_parquet(found["data"])["diagnosis"] == "malignant").mean() > 2 * 36 / 393
    answer = evaluate(recipe)
    assert answer.result.label == "diagnosis"
    assert answer.result.tail.better >= 15
    assert answer.result.tail.gain > 0.05


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Texts of four topics, a short one, and one with an address."""
    rng = np.random.default_rng(0)
    topics = [[f"{topic}{one}" for one in "abcdefghijklmnopqrstuvwxyz"] for topic in ("red", "blue", "tall", "wide")]
    rows = [" ".join(rng.permutation(topics[row % 4])) for row in range(600)]
    rows += ["too short", "write to jane.doe@example.org about it " + rows[0][::-1]]
    table = pa.table(
        {
            "id": [f"t{row}" for row in range(len(rows))],
            "text": rows,
            "package": ["p"] * len(rows),
            "kind": ["k"] * len(rows),
        }
    )
    pq.write_table(table, tmp_path / "texts.parquet")
    return tmp_path / "texts.parquet"


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_texts_are_filtered_by_quality(texts: Path, tmp_path: Path) -> None:
    found = run(placed("docstrings-filtered", tmp_path, f"source.uri={texts}"))
    gone = pd.read_parquet(Path(found["data"]).parent / "fates").query("fate == 'filtered'")
    assert dict(zip(gone["ek_id"], gone["reason"], strict=True)) == {
        "t600": "drop words < 10",
        "t601": "drop personal > 0",
    }
    assert (pd.read_parquet(found["data"])["ek_signal_words"] >= 10).all()


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_texts_near_some_sentences_are_found(texts: Path, tmp_path: Path) -> None:
    prompts = '["talla tallb tallc talld talle", "tallf tallg tallh talli", "tallx tally tallz tallw"]'
    overrides = (f"source.uri={texts}", f"target_set.prompts={prompts}", "sampling.target=100")
    found = run(placed("docstrings-near", tmp_path, *overrides))
    rows = pd.read_parquet(found["data"])
    asked = rows["text"].str.contains("talla")
    assert 0.5 < asked.mean() < 1  # 0.7 is the pull of the target, the rest is balance


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_docstrings_go_the_whole_way(texts: Path, tmp_path: Path) -> None:
    """The recipe on a few texts; the harvest of a whole environment is tested with the reader."""
    found = run(placed("docstrings", tmp_path, f"source.uri={texts}", "source.format=auto"))
    assert found["totals"]["kept"] == 60


@pytest.mark.parametrize("name", ready_recipes())
def test_every_ready_recipe_is_run_by_a_test(name: str) -> None:
    loop = Path(__file__).parents[1] / "feedback" / "test_example.py"  # the loop of a mixture has trainers
    assert f'placed("{name}"' in Path(__file__).read_text() or f'load("{name}"' in loop.read_text()
