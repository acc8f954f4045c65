"""The verbs that say what a run would come to."""

from collections import Counter
from pathlib import Path
from typing import cast

import click
from rich.console import Console
from rich.table import Table

from evenkeel.flows.answer import Answer
from evenkeel.flows.cli.verb import verb
from evenkeel.flows.plan import Plan
from evenkeel.flows.plan import plan as plan_run
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.running import running
from evenkeel.flows.sweep import sweep_sizes, sweep_toward
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.watchdog import end_children_with_this_process
from evenkeel.tasks.distance.tradeoff import PullRow
from evenkeel.tasks.sample.sweep import SweepRow

PRICE = click.option(
    "--price",
    type=click.FloatRange(min=0),
    metavar="PER_HOUR",
    help="Of the compute, in any currency; else the recipe's price_per_hour.",
)
NO_PROBE = click.option("--no-probe", is_flag=True, help="Estimate without trying the steps on a few rows.")
TARGETS = click.option("--targets", default="1%,2%,5%,10%,20%", show_default=True, help="Sizes, separated by commas.")
PULLS = click.option(
    "--toward", metavar="SHARES", help="Change the pull towards the target instead: 0,0.25,0.5,0.75,1 for instance."
)
OUT = click.option("--out", default="sweep.svg", show_default=True, metavar="FILE", help="Where the picture is drawn.")

NAMED = 3  # rules of a mean of several that a line of a sweep names


def show_plan(console: Console, plan: Plan) -> None:
    """Print what a run would read and which steps are done already."""
    table = Table(box=None, pad_edge=False)
    for name in ("step", "state", "rows", "seconds"):
        table.add_column(name, justify="right" if name != "step" else "left")
    expected = plan.expected()
    for step in plan.steps:
        rows = next(iter(step.counts.values()), None)
        about = expected.pop(step.name, 0.0)
        seconds = f"took {step.seconds or 0:,.1f}" if step.done else f"about {about:,.1f}"
        table.add_row(step.name, "done" if step.done else "to do", "" if rows is None else f"{rows:,}", seconds)
    for name, about in expected.items():
        table.add_row(name, "to do", "", f"about {about:,.1f}")
    console.print(table)
    for line in plan.summary():
        console.print(line, highlight=False)
    console.print(
        f"compute {plan.compute}, workspace {plan.workspace}, destination {plan.destination}", highlight=False
    )


def show_swept(console: Console, found: list[SweepRow] | list[PullRow]) -> None:
    """Print a sweep of sizes, or of pulls towards a target."""
    if found and "own" in found[0]:
        show_pulls(console, cast(list[PullRow], found))
    else:
        show_sweep(console, cast(list[SweepRow], found))


def show_pulls(console: Console, found: list[PullRow]) -> None:
    """Print nearness to the target and evenness, one line per share of the pull."""
    table = Table(box=None, pad_edge=False)
    for name in ("toward", "rows", "transport to target", "rows on target", "imbalance", "evenness of leaves"):
        table.add_column(name, justify="right")
    for row in found:
        pull = f"[bold]{row['toward']:g}[/] (this recipe)" if row["own"] else f"{row['toward']:g}"
        numbers = (
            f"{row['distance']:.3f}",
            f"{row['on_target']:.1%}",
            f"{row['imbalance']:.3f}",
            f"{row['entropy']:.3f}",
        )
        table.add_row(pull, f"{row['rows']:,}", *numbers)
    console.print(table)
    console.print("transport to target: as a share of a random draw's; lower is nearer", style="dim")


def show_sweep(console: Console, found: list[SweepRow]) -> None:
    """Print balance and coverage at each size, one line per rule."""
    table = Table(box=None, pad_edge=False)
    for name in ("target", "rows", "rule", "imbalance", "evenness of leaves", "leaves covered"):
        table.add_column(name, justify="left" if name in ("target", "rule") else "right")
    for row in found:
        rule = f"[bold]{_shares(row['name'])}[/] (chosen)" if row["rule"] == "chosen" else row["rule"]
        numbers = (f"{row['imbalance']:.3f}", f"{row['entropy']:.3f}", f"{row['coverage']:.1%}")
        table.add_row(row["target"], f"{row['rows']:,}", rule, *numbers)
    console.print(table)
    console.print("imbalance: over partitions that the clusters did not make; lower is better", style="dim")


def _shares(name: str) -> str:
    """Return a rule as a reader takes it in: the share of each in a mean of several, the largest first."""
    counts = Counter(name.split("+"))
    if len(counts) == 1:
        return next(iter(counts))
    first = [f"{count / counts.total():.0%} {part}" for part, count in counts.most_common(NAMED)]
    return ", ".join([*first, *([f"{len(counts) - NAMED} more"] if len(counts) > NAMED else [])])


@verb(PRICE, NO_PROBE, show=show_plan)
def plan(recipe: Recipe, price: float | None, no_probe: bool) -> Answer[Plan]:
    """Say what a run of RECIPE would read, do and take, what cannot fit, and which gates cannot pass.

    The exit code is 1 where something cannot fit, or a gate that blocks cannot pass.
    """
    with running(recipe) as run:
        planned = plan_run(recipe, run, price, not no_probe)
    left = sum(not step.done for step in planned.steps)
    sentence = f"{recipe.dataset}: {left} of {len(planned.steps)} steps {'is' if left == 1 else 'are'} to do"
    return Answer(planned, sentence, ok=planned.fits and planned.passes)


@verb(TARGETS, PULLS, OUT, show=show_swept)
def sweep(recipe: Recipe, targets: str, toward: str | None, out: str) -> Answer[list[SweepRow] | list[PullRow]]:
    """Show balance and coverage against size, or nearness to a target against balance; publishes nothing.

    One line for each size and rule: RECIPE's strategy and the baselines. With --toward, one line for each share of the
    pull towards its target. Steps that are not done yet are done first.
    """
    end_children_with_this_process(mark=True)
    console = Console(stderr=True)
    from evenkeel.tasks.report.sweeps import draw_pulls, draw_sweep  # imports Altair

    if toward is not None:
        pulls = sweep_toward(recipe, shares_of(toward), console)
        draw_pulls(pulls, Path(out))
        return Answer(pulls, f"{recipe.dataset} at {len(pulls)} pulls towards its target, drawn in {out}")
    sizes = [target.strip() for target in targets.split(",")]
    found = sweep_sizes(recipe, sizes, console)
    draw_sweep(found, Path(out))
    return Answer(found, f"{recipe.dataset} at {len(sizes)} sizes, drawn in {out}")


def shares_of(written: str) -> list[float]:
    """Return the numbers between commas. Raises RecipeError for what is none."""
    try:
        return [float(one) for one in written.split(",")]
    except ValueError:
        raise RecipeError(
            "cannot read the shares of the pull", expected="numbers from 0 to 1", found=written, where="--toward"
        ) from None
