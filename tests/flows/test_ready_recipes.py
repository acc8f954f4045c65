"""Every recipe that comes with the product runs and does what it is shown for."""

from pathlib import Path
from typing import Any

import pytest

import evenkeel
from evenkeel.flows.curate import curate
from evenkeel.flows.evaluate import evaluate
from evenkeel.flows.recipe import Recipe, load


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
