"""What the command line shows: a bar per step while a run goes on, and the result in words when it has ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from evenkeel.flows.plan import Plan
from evenkeel.flows.progress import LISTENER
from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.report.removed import Removed
from evenkeel.tasks.report.terminal import render_terminal
from evenkeel.tasks.sample.sweep import SweepRow
from evenkeel.tasks.validate.results import read_results
from evenkeel.tasks.versions.diff import VersionDiff


@contextmanager
def step_bars(console: Console) -> Iterator[None]:
    """Show one bar per step for as long as the block lasts; plain lines where the output is no terminal."""
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", style="dim"),
    )
    with Progress(*columns, console=console, transient=False, disable=not console.is_terminal) as bars:
        rows: dict[str, TaskID] = {}
        finished: set[str] = set()

        def listen(step: str, done: float, message: str) -> None:
            if not console.is_terminal:
                if done >= 1.0 and step not in finished:
                    finished.add(step)
                    console.print(f"{step:<9} {message}", highlight=False)
                return
            if step not in rows:
                rows[step] = bars.add_task(step, total=1.0, message=message)
            bars.update(rows[step], completed=done, message=message)

        token = LISTENER.set(listen)
        try:
            yield
        finally:
            LISTENER.reset(token)


def balance_table(rows: list[dict[str, Any]]) -> Table:
    """Return the balance before and after, one line per scope (`level-1`, `group.package`, ...)."""
    table = Table(box=None, pad_edge=False)
    table.add_column("balance over")
    for name in ("evenness", "a random draw", "largest share", "effective number"):
        table.add_column(name, justify="right")
    scopes: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        scopes.setdefault(row["scope"], {})[row["stage"]] = row
    for scope, stages in scopes.items():
        before, after = stages.get("before"), stages.get("after")
        if before is None or after is None:
            continue
        table.add_row(
            scope.removeprefix("group."),
            f"{before['entropy']:.3f} -> [bold]{after['entropy']:.3f}[/]",
            f"{stages['random']['entropy']:.3f}" if "random" in stages else "",
            f"{before['largest_share']:.1%} -> [bold]{after['largest_share']:.1%}[/]",
            f"{before['hill1']:,.0f} -> [bold]{after['hill1']:,.0f}[/]",
        )
    return table


def show_result(console: Console, result: dict[str, Any], dataset: str) -> None:
    """Print what a run published: version, fates, balance before and after, the card, and how to read it."""
    steps = result["steps"]
    totals = result["totals"]
    console.print()
    if result["status"] == "unchanged":
        console.print(
            f"[bold]{dataset} is unchanged[/]: the same rows as v{result['version']}; nothing was published "
            "(--force publishes anyway)"
        )
    else:
        console.print(f"[bold]{dataset} v{result['version']} is published[/] with {totals['kept']:,} rows")
    console.print(
        f"{totals['read']:,} rows read = {totals['kept']:,} kept + {totals['deduplicated']:,} deduplicated "
        f"+ {totals['not_sampled']:,} not sampled + {totals['quarantined']:,} quarantined",
        highlight=False,
    )
    console.print()
    console.print(balance_table(result["balance"]))
    console.print()
    seconds = sum(ref["seconds"] for ref in steps.values())
    console.print(f"steps   {seconds:.0f} s of work, outputs in {result['workspace']}", highlight=False)
    console.print(f"card    {result['card']}", highlight=False, soft_wrap=True)
    console.print()
    console.print("Read it with what you already use:", style="bold")
    for line in result["read_with"]:
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)


def show_plan(console: Console, plan: Plan) -> None:
    """Print what a run would read and which steps are done already."""
    console.print(f"[bold]{plan.dataset}[/]", highlight=False)
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


def show_versions(console: Console, dataset: str, versions: list[Version]) -> None:
    """Print the versions of a dataset, newest first."""
    if not versions:
        console.print(f"{dataset} has no versions yet")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("version", "tags", "created", "by", "rows", "files", "reason"):
        table.add_column(name, justify="right" if name in ("rows", "files") else "left")
    for version in versions:
        name = f"v{version.version}" + (" (current)" if version.current else "")
        created = version.created[:19].replace("T", " ")
        cells = (", ".join(version.tags), created, version.created_by, f"{version.rows:,}", str(version.files))
        table.add_row(name, *cells, version.reason)
    console.print(table)


def show_version(console: Console, version: Version) -> None:
    """Print one version: fates, evenness, clusters and groups before and after, gates, where it lies.

    Raises StorageError where what lies beside its data is gone.
    """
    tags = f" ({', '.join(version.tags)})" if version.tags else ""
    title = f"{version.dataset} v{version.version}{tags}, {version.created[:19].replace('T', ' ')}"
    try:
        results = read_results(storage.join(version.location, "expectations.json"))
        shown = render_terminal(Profile.open(version.profile), title=title, results=results)
    except FileNotFoundError as error:
        raise StorageError(
            "files of this version are missing",
            found=str(error),
            where=version.location,
            remedy=f"`evenkeel verify RECIPE v{version.version}` names them all; restore them from a backup",
        ) from error
    console.print(shown)
    console.print()
    console.print(f"card    {version.location}/card.html", highlight=False, soft_wrap=True)
    console.print(f"data    {version.data}", highlight=False, soft_wrap=True)


def show_removed(console: Console, found: list[Removed]) -> None:
    """Print dropped rows, each above the row that stands for it."""
    for one in found:
        console.print(f"[bold]{one.kind}[/], {one.similarity:.3f} alike", highlight=False)
        for word, row in (("dropped", one.row), ("kept   ", one.representative)):
            console.print(f"  {word} {row.id}: {row.text}", highlight=False, markup=False)
    if not found:
        console.print("no row was dropped as a duplicate")


def show_diff(console: Console, found: VersionDiff) -> None:
    """Print what changed from one version to another."""
    console.print(
        f"[bold]v{found.a} -> v{found.b}[/] of {found.dataset}: {found.added:,} rows added, {found.removed:,} removed, "
        f"{found.unchanged:,} unchanged",
        highlight=False,
    )
    for title, changes in (("cluster", found.clusters), ("group", found.groups)):
        table = Table(box=None, pad_edge=False)
        for name in (title, "before", "after", "added", "removed"):
            table.add_column(name, justify="left" if name == title else "right")
        for change in sorted(changes, key=lambda one: one.added + one.removed, reverse=True)[:10]:
            numbers = (change.before, change.after, change.added, change.removed)
            table.add_row(f"{change.name} {change.value}", *(f"{number:,}" for number in numbers))
        console.print(table)
    for title, values in (("metric", found.metrics), ("recipe", found.recipe)):
        for name, (was, now) in values.items():
            if was != now:
                console.print(f"{title} {name}: {was} -> {now}", highlight=False)


def show_sweep(console: Console, found: list[SweepRow]) -> None:
    """Print balance and coverage at each size, one line per rule."""
    table = Table(box=None, pad_edge=False)
    for name in ("target", "rows", "rule", "imbalance", "evenness of leaves", "leaves covered"):
        table.add_column(name, justify="left" if name in ("target", "rule") else "right")
    for row in found:
        rule = f"[bold]{row['name'].split('+')[0]}[/] (chosen)" if row["rule"] == "chosen" else row["rule"]
        numbers = (f"{row['imbalance']:.3f}", f"{row['entropy']:.3f}", f"{row['coverage']:.1%}")
        table.add_row(row["target"], f"{row['rows']:,}", rule, *numbers)
    console.print(table)
    console.print("imbalance: over partitions that the clusters did not make; lower is better", style="dim")
