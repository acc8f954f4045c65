"""What the terminal shows of a run: a bar per step while it goes on, then its result."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
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


def balance_table(rows: list[dict[str, Any]], held_out: dict[str, float]) -> Table:
    """Return the balance before and after, one line per scope (stable partitions, `level-1`, `package`, ...)."""
    from evenkeel.tasks.report.balance_words import balance_in_words

    table = Table(box=None, pad_edge=False)
    table.add_column("balance over")
    for name in ("evenness", "a random draw", "largest share", "effective number"):
        table.add_column(name, justify="right")
    for line in balance_in_words(rows, held_out):
        pairs = {
            what: f"{before} -> [bold]{line[f'{what} after']}[/]" if (before := line[f"{what} before"]) else ""
            for what in ("evenness", "largest share", "effective number")
        }
        random = line["evenness of a random draw"]
        name = escape(line["balance over"])
        table.add_row(name, pairs["evenness"], random, pairs["largest share"], pairs["effective number"])
    return table


def show_result(console: Console, result: dict[str, Any]) -> None:
    """Print what a run came to: rows by disposition, the card's headline, balance, the card, how to read it."""
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
    console.print(result["headline"], style="bold", highlight=False, markup=False)
    console.print()
    held_out = result.get("held_out", {})
    console.print(balance_table(result["balance"], held_out))
    if held_out:
        from evenkeel.tasks.report.balance_words import HELD_OUT

        console.print(HELD_OUT, style="dim", highlight=False)
    console.print()
    seconds = sum(ref["seconds"] for ref in result["steps"].values())
    console.print(f"steps   {seconds:.0f} s of work, outputs in {result['workspace']}", highlight=False)
    console.print(f"card    {result['card']}", highlight=False, soft_wrap=True)
    console.print()
    console.print("Read it with what you already use:", style="bold")
    for line in result["read_with"]:
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)
