"""The command line. Thin: every verb calls a flow or a task function.

Exit codes: 0 published (or unchanged, or answered), 2 a bad recipe or bad usage, 3 a gate failed, 1 anything else.
"""

import logging
import os

import click

from evenkeel.flows.cli import versions as cli_versions
from evenkeel.flows.cli.verb import JSON, RECIPE, SET, print_json, reports_errors
from evenkeel.infra.environment import set_defaults


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="evenkeel")
def main() -> None:
    """Turn huge, lopsided pools of data into large, diverse, balanced training sets, as versions that can be trusted.

    RECIPE is the path of a YAML file or the name of a ready recipe.
    """
    set_defaults()


@main.command()
@RECIPE
@SET
@JSON
@click.option("--force", is_flag=True, help="Publish even where nothing has changed.")
@click.option("--verbose", is_flag=True, help="Show Prefect's own log.")
@reports_errors
def run(recipe: str, overrides: tuple[str, ...], as_json: bool, force: bool, verbose: bool) -> None:
    """Curate RECIPE here and now, and publish the version."""
    from evenkeel.flows.recipe import load

    wanted = load(recipe, overrides)
    if not verbose:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    from rich.console import Console

    from evenkeel.flows.cli.terminal import show_result, step_bars

    console = Console(stderr=as_json)
    console.print(f"[bold]evenkeel[/] {wanted.dataset} <- {wanted.source.uri}")
    from evenkeel.flows.curate import curate

    if not verbose:
        for name in ("prefect", "distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with step_bars(console):
        result = curate(wanted, force)
    if as_json:
        print_json(result)
    else:
        show_result(console, result, wanted.dataset)


@main.command()
@RECIPE
@SET
@JSON
@click.option(
    "--price",
    type=click.FloatRange(min=0),
    metavar="PER_HOUR",
    help="Of the compute, in any currency; else the recipe's price_per_hour.",
)
@click.option("--no-probe", is_flag=True, help="Estimate without trying the steps on a few rows.")
@reports_errors
def plan(recipe: str, overrides: tuple[str, ...], as_json: bool, price: float | None, no_probe: bool) -> None:
    """Say what a run of RECIPE would read, which steps are done, how long it would take, and what cannot fit."""
    from evenkeel.flows.plan import plan as plan_run
    from evenkeel.flows.recipe import load
    from evenkeel.flows.running import running

    wanted = load(recipe, overrides)
    with running(wanted) as where:
        planned = plan_run(wanted, where, price, not no_probe)
    if as_json:
        print_json(planned.model_dump())
    else:
        from rich.console import Console

        from evenkeel.flows.cli.terminal import show_plan

        show_plan(Console(), planned)
    planned.require_fit()


@main.command()
@RECIPE
@SET
@JSON
@click.option("--force", is_flag=True, help="Publish even where nothing has changed.")
@click.option("--deployment", default="curate/on-demand", show_default=True, help="The deployment to run.")
@reports_errors
def curate(recipe: str, overrides: tuple[str, ...], as_json: bool, force: bool, deployment: str) -> None:
    """Hand RECIPE to a Prefect server (PREFECT_API_URL), whose workers curate it."""
    from evenkeel.flows.recipe import load
    from evenkeel.flows.server.submit import hand_over

    flow_run = hand_over(deployment, load(recipe, overrides), force)
    if as_json:
        print_json(flow_run)
    else:
        click.echo(f"flow run {flow_run['name']} is {flow_run['state']}: {flow_run['url']}")
        if flow_run["waits"]:
            click.echo(flow_run["waits"], err=True)


@main.command()
@RECIPE
@SET
@JSON
@click.option("--targets", default="1%,2%,5%,10%,20%", show_default=True, help="Sizes, separated by commas.")
@click.option("--out", default="sweep.svg", show_default=True, metavar="FILE", help="Where the picture is drawn.")
@reports_errors
def sweep(recipe: str, overrides: tuple[str, ...], as_json: bool, targets: str, out: str) -> None:
    """Show balance and coverage against size, for RECIPE's strategy and the baselines; publishes nothing."""
    from pathlib import Path

    from rich.console import Console

    from evenkeel.flows.cli.terminal import show_sweep
    from evenkeel.flows.recipe import load
    from evenkeel.flows.sweep import sweep_sizes
    from evenkeel.tasks.sample.sweep import draw_sweep

    console = Console(stderr=as_json)
    found = sweep_sizes(load(recipe, overrides), [target.strip() for target in targets.split(",")], console)
    draw_sweep(found, Path(out))
    if as_json:
        print_json(found)
    else:
        show_sweep(console, found)
        console.print(f"picture {out}", highlight=False)


@main.command()
@click.option("--markdown", is_flag=True, help="A table of all fields instead of the JSON schema.")
def schema(markdown: bool) -> None:
    """Print the JSON schema of a recipe."""
    if markdown:
        from evenkeel.flows.recipe_docs import table

        click.echo(table())
    else:
        from evenkeel.flows.recipe import json_schema

        print_json(json_schema())


@main.command()
@RECIPE
@SET
@JSON
@reports_errors
def diagnose(recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check store, catalog, workers, devices and packages for RECIPE; say what is wrong and what to do."""
    from evenkeel.flows.recipe import load
    from evenkeel.flows.server.diagnose import examine

    found = examine(load(recipe, overrides))
    if as_json:
        print_json([finding.model_dump() for finding in found])
    else:
        for finding in found:
            click.echo(f"{'ok   ' if finding.ok else 'WRONG'} {finding.check}: {finding.found}")
            if finding.remedy:
                click.echo(f"      {finding.remedy}")
    if not all(finding.ok for finding in found):
        raise SystemExit(1)


@main.command()
@click.option("--port", default=4200, show_default=True, help="Where the server and its pages answer.")
@click.option("--s3-port", type=int, help="Also start an S3 server there.")
@click.option("--down", is_flag=True, help="End exactly what was started.")
@reports_errors
def serve(port: int, s3_port: int | None, down: bool) -> None:
    """Start a Prefect server and a worker on this machine, and deploy everything."""
    from evenkeel.flows.server import serve as serving

    if down:
        click.echo(f"ended: {', '.join(serving.down()) or 'nothing was running'}")
        return
    for name, address in serving.up(port=port, s3_port=s3_port).items():
        click.echo(f"{name:<4} {address}")


for each in cli_versions.VERBS:
    main.add_command(each)

if __name__ == "__main__":
    main()
