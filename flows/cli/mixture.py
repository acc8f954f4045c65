"""The verbs of the loop between versions and training."""

from typing import Any

import click

from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.run import VERBOSE, start_server, steps_shown
from evenkeel.flows.cli.verb import verb
from evenkeel.flows.recipe import Recipe
from evenkeel.tasks.feedback.record import Received

VERSION = click.argument("version")
SCORES = click.option("--scores", required=True, metavar="FILE", help="The scores: .json, .jsonl or .parquet.")
TRAINER = click.option("--trainer", default="", metavar="NAME", help="Who trained; else the file says, or the user.")
LATE = click.option("--late", is_flag=True, help="Go on without the trials that have no score.")
AGAIN = click.option("--again", is_flag=True, help="Begin a new loop, whatever the last one came to.")
APPROVE = click.option("--approve", is_flag=True, help="Let curate go by what the loop ended with; does nothing else.")
REASON = click.option("--reason", default="", metavar="TEXT", help="Why, for the record.")


@verb(VERSION, SCORES, TRAINER)
def feedback(recipe: Recipe, version: str, scores: str, trainer: str) -> Answer[Received]:
    """Record what training made of VERSION: metrics of it, its domains or rows.

    VERSION is a number, a trial such as trial-0-2, or another tag. A report is taken whole or refused by name.
    """
    from evenkeel.flows.feedback import take
    from evenkeel.tasks.feedback.score import read_scores

    found = read_scores(scores)
    return take(recipe, version, found.scores, trainer or found.trainer)


@verb(LATE, AGAIN, APPROVE, REASON, VERBOSE)
def mix(recipe: Recipe, late: bool, again: bool, approve: bool, reason: str, verbose: bool) -> Answer[Any]:
    """Do the next step of RECIPE's mixture: publish trials, or end the loop.

    Trials are drawn from the finished clusters and tagged trial-ROUND-NUMBER; none becomes the current version.
    """
    if approve:
        from evenkeel.flows.approved import approve_mixture

        return approve_mixture(recipe, reason)
    ready = start_server(verbose)
    from evenkeel.flows.mix import mix as flow  # takes seconds, in which the server starts

    ready()
    with steps_shown(verbose):
        result = flow(recipe, late=late, again=again)
    return Answer(result, f"{result['sentence']}\n{result['page']}")
