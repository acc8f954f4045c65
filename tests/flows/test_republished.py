"""A version that was published again without some rows is compared and evaluated by the rows that it has."""

from typing import Any

import pandas as pd
import pytest

from evenkeel.flows import versions as operations
from evenkeel.flows.compare import compare
from evenkeel.flows.curate import curate
from evenkeel.flows.evaluate import evaluate
from evenkeel.flows.recipe import parse
from evenkeel.tasks.distance.record import Record
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.versions.listing import read_version

GONE = 4  # of 240: more would leave the plan behind, and a gate would say so


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_republished_version_is_measured_and_compared_by_its_own_rows(document: dict[str, Any]) -> None:
    recipe = parse(document, ["sampling.strategy=flat"])
    first = curate(recipe)
    rows = pd.read_parquet(first["data"])
    counts = rows["topic"].value_counts()
    taken = rows[rows["topic"] == counts.index[0]]["ek_id"].iloc[:GONE]
    done = operations.takedown(recipe, list(taken), republish=True, dry_run=False).result.republished
    assert done is not None
    version = read_version(recipe.destination, recipe.dataset, 2, recipe.workspace)
    profile = Profile.open(version.profile)
    record = Record.of(profile.sums)
    assert record is not None
    assert record.version.rows == version.copies == len(rows) - GONE
    measured = profile.distances.set_index(["to", "by"])["after"]
    assert set(measured.index.get_level_values("to")) == {"pool", "last-version"}
    assert measured["last-version", "frechet"] > 0

    found = compare(recipe, "v1", "v2").result
    assert (found.rows_a, found.rows_b, found.shared) == (len(rows), len(rows) - GONE, len(rows) - GONE)
    assert found.distances[1].distance == pytest.approx(measured["last-version", "frechet"], rel=0.01)
    taught = [evaluate(recipe, "topic", f"v{number}").result.rows for number in (1, 2)]
    assert taught == [round(0.8 * kept) for kept in (len(rows), len(rows) - GONE)]  # a fifth is held out

    curate(parse(document, ["sampling.strategy=flat", "sampling.seed=1"]))
    later = Profile.open(read_version(recipe.destination, recipe.dataset, 3, recipe.workspace).profile)
    assert "last-version" in set(later.distances["to"])
