"""What the terminal shows of a run: a bar per step while it goes on, then its result."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from evenkeel.flows.progress import LISTENER


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


def show_result(console: Console, result: dict[str, Any]) -> None:
    """Print what a run came to: rows by disposition, balance before and after, the card, how to read the version."""
    totals = result["totals"]
    console.print(
        f"{totals['read']:,} rows read = {totals['kept']:,} kept + {totals['deduplicated']:,} deduplicated "
        f"+ {totals.get('filtered', 0):,} filtered "
        f"+ {totals['not_sampled']:,} not sampled + {totals['quarantined']:,} quarantined",
        highlight=False,
    )
    for note in result["notes"]:
        console.print(f"note: {note}", highlight=False, markup=False)
    console.print()
    console.print(balance_table(result["balance"]))
    if held := result.get("held_out"):
        console.print(held, highlight=False, markup=False)
    console.print()
    seconds = sum(ref["seconds"] for ref in result["steps"].values())
    console.print(f"steps   {seconds:.0f} s of work, outputs in {result['workspace']}", highlight=False)
    console.print(f"card    {result['card']}", highlight=False, soft_wrap=True)
    console.print()
    console.print("Read it with what you already use:", style="bold")
    for line in result["read_with"]:
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)
