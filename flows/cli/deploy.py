"""The verbs that have a server curate a person's own recipe."""

from datetime import date, timedelta

import click

from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import SET, recipes, verb
from evenkeel.flows.recipe import DATE, load
from evenkeel.flows.server import own
from evenkeel.flows.server.own import Deployed
from evenkeel.flows.server.submit import Submission, submit
from evenkeel.infra.errors import RecipeError

FILE = click.argument("file", metavar="RECIPE", shell_complete=recipes)
CRON = click.option("--cron", default="", metavar="CRON", help='When to curate, such as "0 3 * * 1": Mondays at three.')
TIMEZONE = click.option("--timezone", default="Etc/UTC", show_default=True, help="Of --cron.")
ON_NEW_FILES = click.option(
    "--on-new-files", is_flag=True, help="Also where files are added to or changed in the source."
)
FRESH = click.option(
    "--fresh-hours", type=click.FloatRange(min=0, min_open=True), help="Also where none has completed for so long."
)
PAUSED = click.option("--paused", is_flag=True, help="Start nothing until somebody resumes it.")
POOL = click.option("--pool", default="cpu", show_default=True, help="The work pool whose workers run it.")
FIRST = click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The first day.")
LAST = click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The last day.")
DEPLOYMENT = click.option("--deployment", default="curate/on-demand", show_default=True, help="The deployment to run.")


@verb(FILE, CRON, TIMEZONE, ON_NEW_FILES, FRESH, PAUSED, POOL, SET, recipe=False)
def deploy(
    file: str,
    cron: str,
    timezone: str,
    on_new_files: bool,
    fresh_hours: float | None,
    paused: bool,
    pool: str,
    overrides: tuple[str, ...],
) -> Answer[Deployed]:
    """Curate RECIPE on a server: by a schedule, on new files, or when asked.

    Makes the deployment curate/DATASET at PREFECT_API_URL, or brings it up to date. Its runs start in the folder where
    this is called. What a person paused or resumed on the server stays so.
    """
    return own.deploy_recipe(
        file,
        list(overrides),
        cron=cron,
        timezone=timezone,
        on_new_files=on_new_files,
        fresh_hours=fresh_hours,
        paused=paused,
        pool=pool,
    )


@verb(FILE, FIRST, LAST, DEPLOYMENT, SET, recipe=False)
def backfill(
    file: str, first: date, last: date, deployment: str, overrides: tuple[str, ...]
) -> Answer[list[Submission]]:
    """Curate RECIPE on a server once for each day, oldest first.

    {date} in the recipe stands for the day, as in source.uri: raw/day={date}. Runs wait for one another.
    """
    days = [first + timedelta(days=each) for each in range((last - first).days + 1)]
    if not days:
        raise RecipeError("there is no day to curate", found=f"--from {first:%Y-%m-%d} --to {last:%Y-%m-%d}")
    recipes = [load(file, overrides, day=f"{day:%Y-%m-%d}") for day in days]
    if len(days) > 1 and recipes[0].source.uri == recipes[1].source.uri:
        raise RecipeError(
            f"the recipe reads the same on every day: there is no {DATE} in its source.uri",
            found=str(recipes[0].source.uri),
            remedy=f"write the partition into it, such as raw/day={DATE}",
        )
    runs = [submit(deployment, recipe) for recipe in recipes]
    sentences = [f"{day:%Y-%m-%d}: {run.sentence}" for day, run in zip(days, runs, strict=True)]
    return Answer([run.result for run in runs], "\n".join(sentences))
