"""SIGKILL between any two writes of the loop of a mixture: it goes on with the same mixtures and rows."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evenkeel.flows.feedback import feedback
from evenkeel.flows.mixing import advance
from evenkeel.flows.recipe import Recipe, parse
from evenkeel.infra.errors import InputError
from evenkeel.tasks.feedback.rounds import mixture_folder, read_rounds
from evenkeel.tasks.feedback.table import read_feedback
from evenkeel.tasks.step import InProcess, Run
from evenkeel.tasks.versions.listing import list_versions
from tests.faults.killing import Call
from tests.flows.conftest import write_shards

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]
PHASES = ("first round", "scores", "next round", "more scores", "end")
Told = tuple[list[dict[str, Any]], dict[str, str], list[tuple[str, str, float]], dict[str, Any]]


@dataclass(frozen=True)
class Loop:
    """A dataset whose mixture is learned in two rounds."""

    folder: Path

    @property
    def recipe(self) -> Recipe:
        trials = {"rounds": 2, "per_round": 4, "rows": 60}
        return parse(
            {
                "dataset": "notes",
                "source": {"uri": str(self.folder / "pool"), "groups": ["topic"]},
                "dedup": {"near": None},
                "clustering": {"levels": [12], "iterations": 2, "resampling": 1},
                "sampling": {"strategy": "random", "target": 100},
                "mixture": {"domains": "group.topic", "rule": "exponentiated", "trials": trials},
                "destination": {"uri": str(self.folder / "published")},
                "workspace": str(self.folder / "workspace"),
                "compute": "inline",
            }
        )

    def propose(self) -> None:
        """Do the next step of the loop."""
        recipe = self.recipe
        run = Run(recipe.workspace, recipe.dataset, self.folder / "scratch")
        advance(recipe, run, InProcess(run))

    def score(self) -> None:
        """Report every trial of the last round, but those that are reported already."""
        recipe = self.recipe
        for trial in read_rounds(mixture_folder(recipe.destination.uri, "notes")).rounds[-1].trials:
            value = -sum(weight**2 for weight in trial.weights.values())
            with suppress(InputError):  # reported before it was killed
                feedback(recipe, trial.name, [{"metric": "accuracy", "value": value, "error": 0.01}], "planted")

    def told(self) -> Told:
        """Return the rounds, the rows of each trial, the scores and the end, without times."""
        recipe = self.recipe
        known = read_rounds(mixture_folder(recipe.destination.uri, "notes"))
        rounds = [one.model_dump(exclude={"created"}) for one in known.rounds]
        versions = list_versions(recipe.destination, "notes", recipe.workspace)
        assert not [version for version in versions if version.current]
        trials = {tag: version.content_key for version in versions for tag in version.tags}
        assert sum(len(version.tags) for version in versions) == len(trials)
        scores = [
            (one.trial, one.score.metric, one.score.value)
            for one in read_feedback(recipe.destination, "notes", recipe.workspace)
        ]
        ends = {str(loop): one.model_dump(exclude={"created"}) for loop, one in known.settled.items()}
        return rounds, trials, sorted(scores), ends


@pytest.mark.parametrize("phase", PHASES)
def test_a_loop_that_is_killed_goes_on_as_if_it_were_not(phase: str, tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    write_shards(tmp_path / "pool", rows=240, shards=1)
    for each in PHASES[: PHASES.index(phase)]:
        (loop.score if "scores" in each else loop.propose)()
    places = ("published", "workspace")
    for place in places:
        (tmp_path / place).mkdir(exist_ok=True)
        shutil.copytree(tmp_path / place, tmp_path / f"saved-{place}")

    def begin_again() -> None:
        for place in places:
            shutil.rmtree(tmp_path / place)
            shutil.copytree(tmp_path / f"saved-{place}", tmp_path / place)

    work = loop.score if "scores" in phase else loop.propose
    work()
    whole = loop.told()
    call = partial(Call, work, tmp_path / "error")
    die_at, killed = 1, 0
    while True:
        begin_again()
        if call(die_at).ends():
            break
        killed += 1
        work()
        assert loop.told() == whole, f"killed before operation {die_at} of {phase}"
        die_at += max(1, die_at // 4)
    assert killed >= (1 if phase == "end" else 3)  # the end of a loop is one file
