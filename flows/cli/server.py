"""The verbs that talk to a Prefect server."""

import click

from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import verb
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.server import diagnose as diagnosing
from evenkeel.flows.server.diagnose import Finding
from evenkeel.flows.server.submit import Submission, ended, submit

FORCE = click.option("--force", is_flag=True, help="Publish even where nothing has changed.")
WAIT = click.option("--wait", is_flag=True, help="Return when the run has ended, and say what it came to.")
DEPLOYMENT = click.option("--deployment", default="curate/on-demand", show_default=True, help="The deployment to run.")


@verb(FORCE, DEPLOYMENT, WAIT)
def curate(recipe: Recipe, force: bool, deployment: str, wait: bool) -> Answer[Submission]:
    """Submit RECIPE to a Prefect server, whose workers curate it.

    The server is the one at PREFECT_API_URL. With --wait the exit code is 1 where the run does not complete.
    """
    found = submit(deployment, recipe, force)
    if not wait:
        return found
    click.echo(found.sentence, err=True)
    return ended(found.result, lambda line: click.echo(line, err=True))


@verb()
def diagnose(recipe: Recipe) -> Answer[list[Finding]]:
    """Check everything that a run of RECIPE needs.

    That is store, catalog, server, workers, devices and packages; says what is wrong and what to do.
    """
    return diagnosing.examine(recipe)
