"""Evaluate a version: what it teaches a small model about a label, beside random draws of its size."""

import tempfile
from pathlib import Path

from evenkeel.flows.answer import Answer
from evenkeel.flows.places import absolute
from evenkeel.flows.recipe import Recipe
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.publish.config import LATEST
from evenkeel.tasks.versions.evaluate import Comparison, Evaluation
from evenkeel.tasks.versions.evaluate import evaluate as measure
from evenkeel.tasks.versions.listing import read_version
from evenkeel.tasks.versions.own_steps import require_steps, steps_of


def evaluate(recipe: Recipe, label: str = "", version: str = LATEST) -> Answer[Evaluation]:
    """Train a small model on a version and on random draws of its size, and test both on held-out rows of the pool.

    Raises StorageError where the outputs of the version's steps are gone from the workspace.

    Args:
        recipe: The recipe of the dataset.
        label: The group column to tell; empty takes the first one of the recipe.
        version: The version: 3, v3, latest or another tag.
    """
    label = label or next(iter(recipe.source.groups), "")
    if not label:
        raise RecipeError(
            "a version is evaluated on a label, and the recipe has no group column",
            where="source.groups",
            remedy="name the column with the labels in source.groups; clustering does not use it",
        )
    workspace = absolute(recipe.workspace)
    found = read_version(recipe.destination, recipe.dataset, version, workspace)
    with tempfile.TemporaryDirectory(prefix="evenkeel-") as scratch:
        steps = steps_of(found, scratch)
        require_steps(steps, f"v{found.version}")
        measured = measure(steps, label, Path(scratch), recipe.sampling.seed)
    return Answer(measured, sentence(measured, found.version))


def sentence(found: Evaluation, version: int) -> str:
    """Say what a version gains over random draws on the rarer half of the classes, and on all."""
    return f"v{version} against random draws of its size, mean recall of {found.label} on held-out rows: " + "; ".join(
        f"{name} {_of(one)}" for name, one in (("all classes", found.every), ("the rarer half", found.tail))
    )


def _of(one: Comparison) -> str:
    points = f"{100 * one.gain:+.1f} points, better than {one.better} of {one.draws} draws"
    return f"{one.random:.1%} -> {one.version:.1%} ({points})"
