"""The verb that says whether a model was trained on the rows of a recipe."""

import click

from evenkeel.flows import owns as operations
from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import verb
from evenkeel.flows.recipe import Recipe
from evenkeel.tasks.versions.owns import Certificate

ANSWERS = click.option("--answers", required=True, metavar="FILE", help="What the model answered: key and answer.")
KEYS = click.option("--keys", default="", metavar="FILE", help="The vault, where it is not ownership.keys.")
ALPHA = click.option(
    "--alpha",
    default=operations.ALPHA,
    type=click.FloatRange(0, 1, min_open=True),
    help="Largest chance of a false claim.",
)


@verb(ANSWERS, KEYS, ALPHA)
def owns(recipe: Recipe, answers: str, keys: str, alpha: float) -> Answer[Certificate]:
    """Say whether a model's answers prove that it was trained on the rows that RECIPE owns.

    The exit code is 1 where they do not.
    """
    return operations.owns(recipe, answers, keys, alpha)
