"""Versions as tables in a terminal."""

from rich.console import Console
from rich.table import Table

from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.manifest import Manifest
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.publish.trail import Entry
from evenkeel.tasks.report.removed import Removed
from evenkeel.tasks.report.terminal import render_terminal
from evenkeel.tasks.validate.results import read_results
from evenkeel.tasks.versions.diff import VersionDiff

WIDE = 110
"""Columns of a terminal from which on it is said who made a version and of how many files it is."""


def show_versions(console: Console, versions: list[Version]) -> None:
    """Print the versions of a dataset, newest first."""
    table = Table(box=None, pad_edge=False)
    tiers = ("tier",) if any(version.tier for version in versions) else ()
    wide = console.width >= WIDE
    rest = ("created", "by", "rows", "files", "reason") if wide else ("created", "rows", "reason")
    for name in ("version", *tiers, "tags", *rest):
        table.add_column(name, justify="right" if name in ("rows", "files") else "left", overflow="fold")
    for version in versions:
        held = ", held" if version.held is not None else ""
        name = f"v{version.version}" + (f" (current{held})" if version.current else "")
        created, rows = version.created[: 19 if wide else 16].replace("T", " "), f"{version.rows:,}"
        told = (created, version.created_by, rows, str(version.files)) if wide else (created, rows)
        table.add_row(name, *([version.tier] if tiers else []), ", ".join(version.tags), *told, version.reason)
    if versions:
        console.print(table)


def show_history(console: Console, entries: list[Entry]) -> None:
    """Print what was done to versions, newest first."""
    table = Table(box=None, pad_edge=False)
    for name in ("when", "who", "what", "version", "before", "reason"):
        table.add_column(name)
    for one in entries:
        numbers = (f"v{number}" if number is not None else "" for number in (one.version, one.previous))
        action = f"{one.action} as {one.tag}" if one.tag else one.action
        table.add_row(one.when[:19].replace("T", " "), one.who, action, *numbers, one.reason)
    if entries:
        console.print(table)


def show_version(console: Console, version: Version, manifest: Manifest) -> None:
    """Print one version: dispositions, evenness, clusters and groups before and after, gates, location.

    Raises StorageError where files beside its data are missing.
    """
    tags = f" ({', '.join(version.tags)})" if version.tags else ""
    title = f"{version.dataset} v{version.version}{tags}, {version.created[:19].replace('T', ' ')}"
    try:
        results = read_results(storage.join(version.location, "expectations.json"))
        profile = Profile.open(version.profile)
        shown = render_terminal(profile, title=title, results=results, held_out=manifest.held_out)
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
    """Print dropped rows, each above its representative."""
    for one in found:
        console.print(f"[bold]{one.kind}[/], {one.similarity:.3f} similar", highlight=False)
        for word, row in (("dropped", one.row), ("kept   ", one.representative)):
            console.print(f"  {word} {row.id}: {row.text}", highlight=False, markup=False)


def show_diff(console: Console, found: VersionDiff) -> None:
    """Print what changed from one version to another."""
    for title, changes in (("cluster", found.clusters), ("group", found.groups)):
        table = Table(box=None, pad_edge=False)
        for name in (title, "before", "after", "added", "removed"):
            table.add_column(name, justify="left" if name == title else "right")
        for change in sorted(changes, key=lambda one: one.added + one.removed, reverse=True)[:10]:
            numbers = (change.before, change.after, change.added, change.removed)
            named = found.cluster_names.get(change.value, "") if title == "cluster" else ""
            table.add_row(f"{change.name} {change.value} {named}".strip(), *(f"{number:,}" for number in numbers))
        console.print(table)
    for title, values in (("metric", found.metrics), ("recipe", found.recipe)):
        for name, (was, now) in values.items():
            if was != now:
                console.print(f"{title} {name}: {_rounded(was)} -> {_rounded(now)}", highlight=False)


def _rounded(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value
