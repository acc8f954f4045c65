"""The verbs on published versions."""

from pathlib import Path

import click
from rich.console import Console

from evenkeel.flows import versions as operations
from evenkeel.flows.answer import Answer, Result
from evenkeel.flows.cli import version_tables as tables
from evenkeel.flows.cli.verb import verb
from evenkeel.flows.recipe import Recipe
from evenkeel.flows.versions import VersionDetails
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.publish.trail import Entry
from evenkeel.tasks.report.removed import Removed
from evenkeel.tasks.versions.diff import VersionDiff
from evenkeel.tasks.versions.export import Exported, Format
from evenkeel.tasks.versions.prune import Prune
from evenkeel.tasks.versions.takedown import Takedown
from evenkeel.tasks.versions.verify import Verification

VERSION = click.argument("version", metavar="VERSION")
OR_LATEST = click.argument("version", metavar="[VERSION]", default="latest")
NAME = click.argument("name")
IDS = click.argument("ids", nargs=-1)
DROPPED = click.option(
    "--dropped", type=click.IntRange(1), metavar="N", help="Show N dropped duplicates of each kind instead."
)
YES = click.option("--yes", is_flag=True, help="Do it; without this only say what would be done.")
DROP = click.option(
    "--drop", multiple=True, metavar="VERSION", help="Remove this one whatever the retention rule says."
)
NOW = click.option("--now", is_flag=True, help="Remove versions for good now, and whatever is in the trash.")
FROM_FILE = click.option(
    "--from-file", type=click.Path(exists=True, dir_okay=False), help="A UTF-8 file with one id per line."
)
REASON = click.option("--reason", default="", help="Why, for the record.")
REPUBLISH = click.option("--republish", is_flag=True, help="Also publish the current version again without them.")
FORMAT = click.option(
    "--to", "form", type=click.Choice(["webdataset", "mds", "jsonl", "hf"]), required=True, help="The format."
)
OUT = click.option("--out", required=True, metavar="FOLDER", help="An empty or missing local folder.")
ONCE = click.option("--once", is_flag=True, help="Write every row once, whatever its copies.")


def _show(console: Console, found: VersionDetails | list[Removed]) -> None:
    if isinstance(found, list):
        tables.show_removed(console, found)
    else:
        tables.show_version(console, found.version, found.manifest)


@verb(show=tables.show_versions)
def versions(recipe: Recipe) -> Answer[list[Version]]:
    """List the published versions of RECIPE's dataset, newest first."""
    return operations.versions(recipe)


@verb(OR_LATEST, DROPPED, show=_show)
def show(recipe: Recipe, version: str, dropped: int | None) -> Answer[VersionDetails | list[Removed]]:
    """Show one version: dispositions, balance, gates, location.

    VERSION is 3, v3, a tag or latest, the default.
    """
    if dropped is not None:
        return operations.dropped(recipe, version, dropped)
    return operations.show(recipe, version)


@verb(click.argument("a"), click.argument("b"), show=tables.show_diff)
def diff(recipe: Recipe, a: str, b: str) -> Answer[VersionDiff]:
    """Say how version B differs from version A.

    Rows, clusters, groups, metrics and recipe are compared.
    """
    return operations.diff(recipe, a, b)


@verb(VERSION, NAME)
def tag(recipe: Recipe, version: str, name: str) -> Answer[Version]:
    """Let NAME mean VERSION."""
    return operations.tag(recipe, version, name)


@verb(NAME)
def untag(recipe: Recipe, name: str) -> Answer[Version]:
    """Remove NAME; the version it meant stays, until a prune."""
    return operations.untag(recipe, name)


@verb(VERSION, REASON)
def rollback(recipe: Recipe, version: str, reason: str) -> Answer[Version]:
    """Make an earlier VERSION the current one and hold it there.

    Nothing is removed. Until `evenkeel release`, runs publish beside it.
    """
    return operations.rollback(recipe, version, reason)


@verb(OR_LATEST, REASON)
def hold(recipe: Recipe, version: str, reason: str) -> Answer[Version]:
    """Hold VERSION, or the current one, as current.

    Until `evenkeel release`, runs publish beside it.
    """
    return operations.hold(recipe, version, reason)


@verb(REASON)
def release(recipe: Recipe, reason: str) -> Answer[Version]:
    """Release the version that is held: the next one published replaces it."""
    return operations.release(recipe, reason)


@verb(show=tables.show_history)
def history(recipe: Recipe) -> Answer[list[Entry]]:
    """Say who did what to the versions of RECIPE's dataset, when and why."""
    return operations.history(recipe)


@verb(OR_LATEST)
def verify(recipe: Recipe, version: str) -> Answer[Verification]:
    """Read every file of a version and compare it with its checksum.

    The exit code is 1 where a file is damaged.
    """
    return operations.verify(recipe, version)


@verb(YES, DROP, NOW)
def prune(recipe: Recipe, yes: bool, drop: tuple[str, ...], now: bool) -> Answer[Prune]:
    """Remove versions, files and step outputs that are no longer needed.

    These are versions that no tag and no retention rule holds, files of dead runs, and outputs of steps that no kept
    version builds on. Versions go into the trash first; `evenkeel restore` brings them back.
    """
    return _offered(operations.prune(recipe, drop, now, dry_run=not yes), yes)


@verb(VERSION)
def restore(recipe: Recipe, version: str) -> Answer[Version]:
    """Bring a pruned VERSION back from the trash, under its number."""
    return operations.restore(recipe, version)


@verb(IDS, YES, FROM_FILE, REASON, REPUBLISH)
def takedown(
    recipe: Recipe, ids: tuple[str, ...], yes: bool, from_file: str | None, reason: str, republish: bool
) -> Answer[Takedown]:
    """Keep rows with these IDS out of all coming versions.

    Says which published versions hold them.
    """
    from evenkeel.tasks.ingest.id_files import read_lines

    listed = read_lines(Path(from_file), 1 << 16, from_file) if from_file else ()
    wanted = [*ids, *(line.strip() for part in listed for line in part)]
    return _offered(operations.takedown(recipe, wanted, reason, republish, dry_run=not yes), yes)


@verb(OR_LATEST, FORMAT, OUT, ONCE)
def export(recipe: Recipe, version: str, form: Format, out: str, once: bool) -> Answer[Exported]:
    """Write a version in the format of a training library, by that library."""
    return operations.export(recipe, version, form, out, copies=not once)


def _offered(answer: Answer[Result], yes: bool) -> Answer[Result]:
    """Return the answer of a dry run with the option that does the same in earnest."""
    return answer if yes else answer._replace(sentence=f"{answer.sentence}\n--yes does it")
