"""The loop from a version to a score and back: rounds, scores, what it ends with, and bad reports by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenkeel.flows.approved import approve_mixture, with_approved
from evenkeel.flows.feedback import feedback
from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.mixing import MixState, advance
from evenkeel.flows.mixture_page import write_page
from evenkeel.flows.pipeline import cluster_pool, draw_version, sample_inputs
from evenkeel.flows.recipe import Recipe, parse
from evenkeel.infra.errors import InputError, RecipeError, VersionNotFound
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.feedback.rounds import Rounds, mixture_folder, read_rounds
from evenkeel.tasks.feedback.table import read_feedback
from evenkeel.tasks.mixture.config import DomainWeights
from evenkeel.tasks.publish.config import Retention
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.sample.step import SAMPLE
from evenkeel.tasks.step import InProcess, Run
from evenkeel.tasks.versions.listing import list_versions, previous_version, read_manifest, read_version
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.tags import rollback
from tests.flows.conftest import write_shards

BEST = np.linspace(1, 4, 12) / np.linspace(1, 4, 12).sum()
"""The mixture that the planted trainer likes best: far from the pool's, and from equal weights."""


def document(folder: Path, **mixture: Any) -> dict[str, Any]:
    return {
        "dataset": "notes",
        "source": {"uri": str(folder / "pool"), "groups": ["topic"]},
        "dedup": {"near": None},
        "clustering": {"levels": [30, 6], "iterations": 3, "resampling": 1},
        "sampling": {"strategy": "random", "target": 200},
        "mixture": {
            "domains": "group.topic",
            "rule": "exponentiated",
            "reward": "influence",
            "trials": {"rounds": 2, "per_round": 5, "rows": 120},
            **mixture,
        },
        "destination": {"uri": str(folder / "published")},
        "workspace": str(folder / "workspace"),
        "compute": "inline",
    }


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A recipe over 600 rows of twelve topics."""
    write_shards(tmp_path / "pool", rows=600, shards=2)
    return parse(document(tmp_path))


def changed(recipe: Recipe, **mixture: Any) -> Recipe:
    """Return the recipe with other options of its mixture."""
    plain = recipe.model_dump(mode="json")
    return parse({**plain, "mixture": {**plain["mixture"], **mixture}})


def step(recipe: Recipe, **options: Any) -> MixState:
    run = Run(recipe.workspace, recipe.dataset, Path(recipe.workspace).parent / "scratch")
    return advance(recipe, run, InProcess(run), **options)


def run_sample(recipe: Recipe, mixture: DomainWeights) -> None:
    """Sample the recipe's pool by weights of domains."""
    run = Run(recipe.workspace, recipe.dataset, Path(recipe.workspace).parent / "scratch")
    sampling = recipe.sampling.model_copy(update={"mixture": mixture})
    pool = cluster_pool(recipe, resolve_lineage(recipe, recipe.workspace), InProcess(run))
    SAMPLE(sampling, sample_inputs(sampling, pool, InProcess(run)), run)


def known(recipe: Recipe) -> Rounds:
    return read_rounds(mixture_folder(recipe.destination.uri, recipe.dataset))


def train(recipe: Recipe, state: MixState, error: float = 0.01, skip: tuple[str, ...] = ()) -> None:
    """Report each trial of a round: a planted law of its weights."""
    for trial in known(recipe).rounds[-1].trials:
        if trial.name not in skip:
            weights = np.array(list(trial.weights.values()))
            value = 1 - 4 * float(((weights - BEST) ** 2).sum())
            scores: list[dict[str, object]] = [{"metric": "accuracy", "value": value, "error": error}]
            pairs = zip(trial.weights, BEST - weights, strict=True)
            scores += [{"metric": "influence", "domain": name, "value": float(one)} for name, one in pairs]
            feedback(recipe, trial.name, scores, trainer="planted")


@pytest.mark.long
def test_a_loop_ends_with_what_beats_stratified_and_curate_goes_by_it_once_it_is_approved(recipe: Recipe) -> None:
    first = step(recipe)
    assert first.status == "proposed"
    roles = [trial.role for trial in known(recipe).rounds[0].trials]
    assert roles == ["natural", "uniform", "stratified", "tried", "tried"]
    version = read_version(recipe.destination, "notes", "trial-0-2", recipe.workspace)
    facts = read_manifest(version).document["steps"]["sample"]["facts"]["mixture"]
    assert set(facts["rows"].values()) == {10}
    assert previous_version(recipe.destination, "notes", recipe.workspace) is None
    assert step(recipe).waits_for == list(first.trials)

    train(recipe, first, skip=("trial-0-3",))
    assert step(recipe).waits_for == ["trial-0-3"]
    assert step(recipe, late=True, only_round=1).sentence == "round 1 is over, or never was"
    assert len(known(recipe).rounds) == 1
    second = step(recipe, late=True, only_round=0)
    assert (second.status, second.round) == ("proposed", 1)
    assert known(recipe).rounds[1].without == ["trial-0-3"]
    assert [trial.role for trial in known(recipe).rounds[1].trials][:2] == ["stratified", "proposed"]
    train(recipe, second, error=1e-4)
    ended = step(recipe)
    assert ended.status == "settled"
    assert ended.settled is not None
    assert ended.settled.role == "proposed", ended.sentence
    assert step(recipe).sentence.startswith("the loop has ended")
    page = Path(write_page(recipe, recipe.workspace)).read_text()
    for words in ("Weights by round", "Scores", "Predicted against seen", "regret against stratified"):
        assert words in page

    assert with_approved(recipe).sampling.mixture is None
    approve_mixture(recipe, "looked at")
    mixture = with_approved(recipe).sampling.mixture
    assert mixture is not None
    assert mixture.rule.model_dump()["weights"] == ended.settled.weights
    moved = mixture.model_copy(update={"clusters": "0" * 64})
    with pytest.raises(RecipeError, match="clustered anew"):
        run_sample(recipe, moved)
    other = parse({**recipe.model_dump(mode="json"), "mixture": {"domains": "level-2", "rule": "bandit"}})
    with pytest.raises(RecipeError, match="other domains"):
        with_approved(other)

    eager = recipe.destination.model_copy(update={"retention": Retention(keep_last=1, keep_days=0, grace_hours=0)})
    assert len(list_versions(eager, "notes", recipe.workspace)) == 10
    assert len(prune(eager, "notes", recipe.workspace, dry_run=False).versions) == 10
    again = step(recipe, again=True)
    assert (again.round, again.loop) == (2, 2)
    assert prune(eager, "notes", recipe.workspace).versions == []
    with pytest.raises(RecipeError, match="trial of a mixture"):
        rollback(recipe.destination, "notes", "trial-2-0", recipe.workspace)


@pytest.mark.slow
def test_within_noise_stratified_is_proposed_and_it_is_said(recipe: Recipe) -> None:
    for _ in range(2):
        train(recipe, step(recipe), error=0.5)
    ended = step(recipe)
    assert ended.settled is not None
    assert ended.settled.role == "stratified"
    assert "no rule beats stratified beyond noise" in ended.sentence
    assert len(set(ended.settled.weights.values())) == 1


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_trials(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends after each thing that it writes: the round, then trial after trial."""
    from evenkeel.flows import mixing
    from evenkeel.tasks.publish import publish as publishing

    class Killed(BaseException):
        pass

    real, calls = publishing.publish, list[str]()

    def publish(*args: Any, **options: Any) -> Any:
        if calls and calls[-1] != "again":
            calls.append("again")
            raise Killed
        calls.append(options["trial"])
        return real(*args, **options)

    monkeypatch.setattr(mixing, "publish", publish)
    for number in range(2):
        kills, written = 0, None
        while True:
            try:
                state = step(recipe)
                break
            except Killed:
                kills += 1
                assert written in (None, known(recipe).rounds[-1])
                written = known(recipe).rounds[-1]
        assert (state.status, state.round, kills) == ("proposed", number, 4 + number)
        assert known(recipe).rounds[-1] == written
        train(recipe, state)
    names = sorted(tag for one in list_versions(recipe.destination, "notes", recipe.workspace) for tag in one.tags)
    assert names == [f"trial-{number}-{place}" for number in range(2) for place in range(5)]


@pytest.mark.long
def test_bad_reports_are_refused_by_name_and_change_nothing(recipe: Recipe) -> None:
    state = step(recipe)
    score: dict[str, object] = {"metric": "accuracy", "value": 0.5}
    feedback(recipe, "trial-0-0", [score, {**score, "domain": "topic-3"}], trainer="one")
    before = read_feedback(recipe.destination, "notes", recipe.workspace)
    nan = float("nan")
    cases: list[tuple[str, list[dict[str, object]], type[Exception], str]] = [
        ("v99", [score], VersionNotFound, "no version 'v99'"),
        ("trial-0-1", [{**score, "domain": "topic-99"}], InputError, "no domain 'topic-99'"),
        ("trial-0-1", [{**score, "value": nan}], InputError, "accuracy is nan"),
        ("trial-0-1", [{**score, "error": -1.0}], InputError, "error of accuracy is -1"),
        ("trial-0-1", [score, score], InputError, "accuracy twice"),
        ("trial-0-1", [{**score, "metric": "acc"}], InputError, "another metric than the trials before it"),
        ("trial-0-1", [{"metric": "accuracy"}], InputError, "value: Field required"),
        ("trial-0-1", [{**score, "value": True}], InputError, "0.value: .*true is no number"),
        ("trial-0-1", [score, {**score, "domain": "topic-3", "value": "0.71"}], InputError, '1.value: .*"0.71" is no'),
        ("trial-0-1", [{**score, "rows": True}], InputError, "0.rows: .*true is no number"),
        ("trial-0-1", [{**score, "rows": 1 << 63}], InputError, "0.rows: "),
        ("trial-0-1", [], InputError, "there are no scores"),
        ("trial-0-0", [score], InputError, "reported before, with the same values"),
        ("trial-0-0", [{**score, "value": 0.6}], InputError, "(?s)differently before.*0.5 by one.*now 0.6 by two"),
    ]
    for version, scores, error, words in cases:
        with pytest.raises(error, match=words):
            feedback(recipe, version, scores, trainer="two")
    assert read_feedback(recipe.destination, "notes", recipe.workspace) == before
    assert step(recipe).waits_for == [name for name in state.trials if name != "trial-0-0"]

    changes: list[tuple[dict[str, Any], str]] = [
        ({"metric": "f1"}, "no trial of the loop was reported by the metric of the recipe"),
        ({"goal": "minimise"}, "another one than the loop that goes on"),
    ]
    for change, words in changes:
        with pytest.raises(RecipeError, match=words):
            step(changed(recipe, **change))
    with pytest.raises(InputError, match="another metric than the trials before it"):
        feedback(changed(recipe, metric="f1"), "trial-0-1", [{"metric": "f1", "value": 0.4}])
    assert step(recipe, again=True).loop == 1
    feedback(recipe, "trial-1-0", [{"metric": "acc", "value": 0.5}])
    assert step(recipe).waits_for == [f"trial-1-{place}" for place in range(1, 5)]


@pytest.mark.slow
def test_a_loop_that_is_not_possible_is_refused_before_anything_is_written(recipe: Recipe) -> None:
    changes: list[tuple[dict[str, Any], str]] = [
        ({"floor": 0.2}, "(?s)no weights of the domains keep floor and cap.*at most 0.08333"),
        ({"cap": 0.05}, "no weights of the domains keep floor and cap"),
        ({"cost": {"topic-0": 2.0, "topic-99": 3.0}}, "a cost is given for 'topic-99', which is no domain"),
    ]
    for change, words in changes:
        with pytest.raises(RecipeError, match=words):
            step(changed(recipe, **change))
    assert not known(recipe).rounds
    step(recipe)
    with pytest.raises(RecipeError, match="no weights of the domains keep floor and cap"):
        step(changed(recipe, floor=0.2), again=True)
    assert known(recipe).open  # a loop that goes on is not given up for one that cannot begin


@pytest.mark.long
def test_influence_of_rows_becomes_a_signal(recipe: Recipe, tmp_path: Path) -> None:
    step(recipe)
    rows: list[dict[str, object]] = [
        {"metric": "influence", "value": row / 10, "example": f"row-0-{row}"} for row in range(40)
    ]
    found = feedback(recipe, "trial-0-0", rows).result
    feedback(recipe, "trial-0-1", [{**rows[3], "value": 9.5}])
    [place] = found.examples
    signals = [{"name": "influence", "join": place, "column": "value"}]
    joined = parse({**recipe.model_dump(mode="json"), "signals": signals, "workspace": str(tmp_path / "other")})
    run = Run(joined.workspace, joined.dataset, tmp_path / "scratch")
    pool = cluster_pool(joined, resolve_lineage(joined, joined.workspace), InProcess(run))
    assert pool.signals["influence"].facts["matched"] == 40
    assert pool.signals["influence"].facts["greatest"] == 9.5


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param({"name": "weighted", "by": "leverage"}, marks=pytest.mark.slow, id="weighted"),
        pytest.param({"name": "balanced"}, marks=pytest.mark.slow, id="balanced"),
    ],
)
def test_trials_that_are_drawn_and_staged_together_are_those_that_would_be_made_alone(
    recipe: Recipe, tmp_path: Path, strategy: dict[str, Any]
) -> None:
    """Also where a filter and a signal leave their marks, and the strategy reads a score or measures its rule."""
    more = {
        "signals": [{"name": "leverage", "kind": "leverage"}],
        "filters": [{"drop": "topic == 'topic-3'"}],
        "sampling": {"strategy": strategy, "target": 200},
    }
    recipe = parse({**recipe.model_dump(mode="json"), **more})
    state = step(recipe)
    run = Run(recipe.workspace, recipe.dataset, tmp_path / "scratch")
    lineage = resolve_lineage(recipe, recipe.workspace)
    pool = cluster_pool(recipe, lineage, InProcess(run))
    assert pool.dedup.counts["filtered"] > 0
    for name in state.trials:
        manifest = read_manifest(read_version(recipe.destination, "notes", name, recipe.workspace))
        sampling = parse(manifest.recipe).sampling.model_copy(update={"strategy": recipe.sampling.strategy})
        drawn = draw_version(recipe.model_copy(update={"sampling": sampling}), lineage, pool, InProcess(run))
        inputs = StageInputs(pool.ingest, pool.dedup, pool.cluster, drawn.sample, pool.signals)
        alone = STAGE(recipe.destination.staging(trial=True), inputs, run)
        together = StepRef.model_validate(manifest.document["steps"]["stage"])
        assert alone.key != together.key
        assert (alone.facts["content_key"], alone.counts) == (together.facts["content_key"], together.counts)
    kept = {folder.parent.name for folder in Path(recipe.workspace, "notes").glob("*/*/")}
    assert "sample" in kept
    assert "excerpt" not in kept  # a round that is published needs no rows of the pool any more
