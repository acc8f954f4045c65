"""A trainer to try the loop with: a linear probe that is trained on each trial of a round and tells a group column."""

import sys
import tempfile
from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from evenkeel.flows.failures import explained
from evenkeel.flows.feedback import take
from evenkeel.flows.mix import mix
from evenkeel.flows.mixing import mixture_of
from evenkeel.flows.places import absolute
from evenkeel.flows.recipe import Recipe, load, loaded
from evenkeel.flows.recipe_form import AnyRecipe
from evenkeel.infra.watchdog import end_children_with_this_process
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.feedback import rounds as records
from evenkeel.tasks.feedback.loop import missing, reports_of
from evenkeel.tasks.feedback.table import read_feedback
from evenkeel.tasks.versions.evaluate import BALANCED, probe_scores
from evenkeel.tasks.versions.listing import read_manifest, read_version

TRAINER = "linear probe"


@flow(name="train_probe", flow_run_name="train on the trials of a round")
@explained
def train_probe(recipe: AnyRecipe, label: str = "") -> dict[str, float]:
    """Train a linear probe on every trial of the open round that has no score yet, and report its recall.

    Args:
        recipe: The recipe whose mixture is learned, or the file that holds it.
        label: The group column to tell; empty = the domains of the mixture, else the recipe's first group.
    """
    found = score_round(loaded(recipe), label)
    get_run_logger().info("%s: %s", BALANCED, found or "every trial has a score")
    return found


def score_round(recipe: Recipe, label: str = "") -> dict[str, float]:
    """Train on the trials of the open round that have no score, report, and return balanced accuracy by trial."""
    config, workspace = mixture_of(recipe), absolute(recipe.workspace)
    label = label or config.group or next(iter(recipe.source.groups), "")
    known = records.read_rounds(records.mixture_folder(recipe.destination.uri, recipe.dataset)).open
    if not known:
        return {}
    feedback = read_feedback(recipe.destination, recipe.dataset, workspace)
    found: dict[str, float] = {}
    for trial in missing(known[-1], reports_of(config, known, feedback)):
        version = read_version(recipe.destination, recipe.dataset, trial, workspace)
        steps = {name: StepRef.model_validate(ref) for name, ref in read_manifest(version).document["steps"].items()}
        with tempfile.TemporaryDirectory(prefix="evenkeel-") as scratch:
            scores = probe_scores(steps, label, Path(scratch), by_domain=config.group == label)
        take(recipe, trial, scores, TRAINER)
        found[trial] = scores[0].value
    return found


def whole_loop(recipe: Recipe) -> str:
    """Propose, train and propose again until the loop has ended, in this process; return what it ended with."""
    while True:
        state = mix(recipe)
        if state["status"] == "settled":
            return f"{state['sentence']}\n{state['page']}"
        train_probe(recipe)


if __name__ == "__main__":
    end_children_with_this_process(mark=True)
    print(whole_loop(load(sys.argv[1], sys.argv[2:])))
