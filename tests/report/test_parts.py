"""The parts of the card: sentences, words, the map, and the same facts in a terminal."""

import io
import os
import signal
from collections.abc import Sequence

import numpy as np
import pytest
from rich.console import Console

from evenkeel.expectations.expectation import Offender
from evenkeel.expectations.result import Result, Status
from evenkeel.expectations.wording import percent, percents
from evenkeel.infra.errors import ResourceError
from evenkeel.infra.isolation import Json
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.report import renderer
from evenkeel.tasks.report.facts import Distribution
from evenkeel.tasks.report.findings import half, of_group
from evenkeel.tasks.report.projection import project, project_within
from evenkeel.tasks.report.terminal import render_terminal
from evenkeel.tasks.report.words import distinctive_words
from tests.validate.pools import Curated


def test_shares_read_beside_one_another_have_equally_many_digits_and_nearly_all_is_not_all() -> None:
    assert percents(0.0067, 0.002) == ["0.67\xa0%", "0.20\xa0%"]
    assert percents(0.4, 0.104) == ["40\xa0%", "10\xa0%"]
    assert [percent(share) for share in (0.99774, 0.99999, 1.0, 0.0042)] == [
        "99.8\xa0%",
        "99.999\xa0%",
        "100\xa0%",
        "0.42\xa0%",
    ]
    assert percent(float("nan")) == "not a number"


def test_half_of_the_rows_is_counted_over_the_largest() -> None:
    assert half(np.array([50.0, 30.0, 10.0, 10.0])) == 1
    assert half(np.array([25.0, 25.0, 25.0, 25.0])) == 2
    assert half(np.zeros(3)) == 0


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ([10.0, 30.0, 0.0], "language: en fell from 70\xa0% to 25\xa0%; 2 of 3 values are in the version"),
        ([80.0, 10.0, 10.0], "language: en rose from 70\xa0% to 80\xa0%; all 3 values are in the version"),
        ([7.0, 2.0, 1.0], "language: en stayed at 70\xa0%; all 3 values are in the version"),
        ([0.0, 0.0, 0.0], "language: en fell from 70\xa0% to 0\xa0%; 0 of 3 values are in the version"),
    ],
)
def test_the_change_of_a_group_is_a_sentence(after: list[float], sentence: str) -> None:
    assert (
        of_group(Distribution("group.language", ["en", "de", "ja"], np.array([70.0, 20.0, 10.0]), np.array(after)))
        == sentence
    )


def test_words_that_others_do_not_use_name_a_cluster() -> None:
    texts = {
        0: ["the river runs to the sea", "a river bank", "river water"],
        1: ["the engine turns", "an engine part", "engine oil"],
        2: ["", "1 2 3"],
    }
    words = distinctive_words(texts, 1)
    assert words == {0: "river", 1: "engine", 2: ""}


@pytest.mark.parametrize("k", [0, 1, 2, 7, 8, 60])
def test_the_map_is_finite_and_the_same_every_time(k: int) -> None:
    centroids = np.random.default_rng(0).normal(size=(k, 16)).astype(np.float32)
    places = project(centroids)
    assert places.shape == (k, 2)
    assert np.isfinite(places).all()
    assert ((places >= 0) & (places <= 1)).all()
    assert (places == project(centroids.copy())).all()


def test_equal_centroids_do_not_hide_behind_each_other() -> None:
    places = project(np.ones((5, 4), np.float32))
    assert len(np.unique(places.round(3), axis=0)) == 5


def test_neighbours_in_space_are_neighbours_on_the_map() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(5), 20)
    places = project((rng.normal(0, 10, (5, 24))[group] + rng.normal(0, 0.5, (100, 24))).astype(np.float32))
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (group[distance.argmin(axis=1)] == group).all()


def test_very_many_clusters_lie_beside_their_parents() -> None:
    rng = np.random.default_rng(2)
    parents = rng.normal(0, 10, (12, 24)).astype(np.float32)
    parent_of = np.repeat(np.arange(12), 150).astype(np.int32)
    places = project_within(parents[parent_of] + rng.normal(0, 1, (1800, 24)).astype(np.float32), parents, parent_of)
    assert np.isfinite(places).all()
    assert ((places >= 0) & (places <= 1)).all()
    middles = np.stack([places[parent_of == parent].mean(axis=0) for parent in range(12)])
    nearest = np.linalg.norm(places[:, None] - middles[None], axis=2).argmin(axis=1)
    assert (nearest == parent_of).mean() > 0.8


def result(status: Status, sentence: str, reason: str, offenders: Sequence[Offender] = ()) -> Result:
    words = {"expectation": "made", "label": "made", "concern": "drift", "sentence": sentence, "reason": reason}
    return Result(**words, status=status, severity="block", offenders=tuple(offenders))


def shown(curated: Curated, results: Sequence[Result] | None = None, colour: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=100, force_terminal=colour, color_system="truecolor" if colour else None
    )
    console.print(render_terminal(Profile.open(curated.done["measure"]), title="topics v1", results=results))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_the_same_facts(curated: Curated) -> None:
    printed = shown(curated)
    totals = Profile.open(curated.done["measure"]).totals.iloc[0]
    for fate in ("kept", "deduplicated", "filtered", "not_sampled", "quarantined"):
        assert f"{int(totals[fate]):,}" in printed
    assert "evenness" in printed
    assert "language" in printed
    assert max(len(line) for line in printed.splitlines()) <= 100


def test_the_terminal_never_obeys_foreign_text(curated: Curated) -> None:
    results = [result("failed", "[red]bold[/] \x1b]0;owned\x07", "\x1b[31mred")]
    printed = shown(curated, results)
    assert "\x1b" not in printed
    assert "[red]bold[/]" in printed
    assert "\x1b]0" not in shown(curated, results, colour=True)


def test_the_terminal_lists_what_failed(curated: Curated) -> None:
    lost = [Offender(scope="group.language", name=f"lang-{n}\x1b[2J", why="20 rows, none now") for n in range(9)]
    passed = result("passed", "x", "y")
    printed = shown(curated, [passed, result("failed", "no group is gone", "1 gone", lost)])
    assert "2 checks, 1 failed or warned" in printed
    assert "✕ no group is gone" in printed
    assert "· lang-0�[2J: 20 rows, none now" in printed
    assert "lang-3�" not in printed
    assert "all 1 checks passed" in shown(curated, [passed])


def die(argument: Json) -> Json:
    os.kill(os.getpid(), signal.SIGKILL)
    return argument


@pytest.mark.slow
def test_a_renderer_that_dies_is_named_and_does_not_take_the_run_along(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = {"data": {"values": [{"a": 1}]}, "mark": "bar", "encoding": {"x": {"field": "a", "type": "quantitative"}}}
    assert renderer.render_svg(bars).startswith("<svg")
    monkeypatch.setattr(renderer, "_render", die)
    with pytest.raises(ResourceError, match="SIGKILL"):
        renderer.render_svg(bars)
