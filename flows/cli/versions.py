"""The verbs of the command line that look at published versions, or change what names mean."""

from typing import Any

import click

from evenkeel.flows.cli.verb import print_json, verb

VERSION = click.argument("version", metavar="VERSION")
OR_LATEST = click.argument("version", metavar="[VERSION]", default="latest")
DROPPED = click.option(
    "--dropped", type=click.IntRange(1), metavar="N", help="Show N dropped duplicates of each kind instead."
)
YES = click.option("--yes", is_flag=True, help="Do it; without this only say what would be done.")


def dataset_of(recipe: str, overrides: tuple[str, ...]) -> tuple[Any, str, str]:
    """Return the destination, the dataset's name and the workspace of a recipe."""
    from evenkeel.flows.recipe import load
    from evenkeel.flows.running import absolute

    wanted = load(recipe, overrides)
    return wanted.destination, wanted.dataset, absolute(wanted.workspace)


def tell(result: Any, as_json: bool, words: str) -> None:
    """Print a result as JSON, or the sentence that says it."""
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        click.echo(words)


@verb()
def versions(recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """List the published versions of RECIPE's dataset, newest first."""
    from evenkeel.tasks.versions.listing import list_versions

    destination, dataset, workspace = dataset_of(recipe, overrides)
    known = list_versions(destination, dataset, workspace)
    if as_json:
        print_json([version.model_dump(mode="json") for version in known])
        return
    from rich.console import Console

    from evenkeel.flows.cli.terminal import show_versions

    show_versions(Console(), dataset, known)


@verb(OR_LATEST, DROPPED)
def show(recipe: str, version: str, overrides: tuple[str, ...], as_json: bool, dropped: int | None) -> None:
    """Show one version: balance before and after, fates, gates, where it lies (default: latest)."""
    from evenkeel.tasks.versions.listing import read_manifest, read_version

    destination, dataset, workspace = dataset_of(recipe, overrides)
    found = read_version(destination, dataset, version, workspace)
    if dropped is not None:
        show_dropped(read_manifest(found), dropped, as_json)
        return
    if as_json:
        print_json({**found.model_dump(mode="json"), "manifest": read_manifest(found).model_dump(mode="json")})
        return
    from rich.console import Console

    from evenkeel.flows.cli.terminal import show_version

    show_version(Console(), found)


def show_dropped(manifest: Any, each: int, as_json: bool) -> None:
    """Print dropped rows of a version beside the rows that stand for them, from the outputs of its steps.

    Raises StorageError where those are gone from the workspace.
    """
    from dataclasses import asdict

    from evenkeel.infra import storage
    from evenkeel.infra.errors import StorageError
    from evenkeel.tasks.ingest.pool import Pool
    from evenkeel.tasks.report.removed import removed_rows

    ingest, dedup = (manifest.document["steps"][name]["uri"] for name in ("ingest", "dedup"))
    if not all(storage.exists(storage.join(uri, "done.json")) for uri in (ingest, dedup)):
        raise StorageError(
            "the rows that this version was made from are gone from the workspace",
            where=dedup,
            remedy="the fates/ folder of the version names every dropped row and the row that stands for it",
        )
    found = removed_rows(dedup, Pool.open(ingest), each)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    from rich.console import Console

    from evenkeel.flows.cli.terminal import show_removed

    show_removed(Console(), found)


@verb(click.argument("a"), click.argument("b"))
def diff(recipe: str, a: str, b: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say how version B differs from version A: rows, clusters, groups, metrics, recipe."""
    from evenkeel.tasks.versions.diff import diff as compare

    destination, dataset, workspace = dataset_of(recipe, overrides)
    found = compare(destination, dataset, a, b, workspace)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    from rich.console import Console

    from evenkeel.flows.cli.terminal import show_diff

    show_diff(Console(), found)


@verb(VERSION, click.argument("name"))
def tag(recipe: str, version: str, name: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Let NAME mean VERSION."""
    from evenkeel.tasks.versions.tags import tag as move

    destination, dataset, workspace = dataset_of(recipe, overrides)
    found = move(destination, dataset, version, name, workspace)
    tell(found, as_json, f"{name} means v{found.version} of {dataset}")


@verb(click.argument("name"))
def untag(recipe: str, name: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Remove NAME; the version it meant stays, until a prune."""
    from evenkeel.tasks.versions.tags import untag as remove

    destination, dataset, workspace = dataset_of(recipe, overrides)
    found = remove(destination, dataset, name, workspace)
    tell(found, as_json, f"{name} means nothing any more; it meant v{found.version} of {dataset}")


@verb(VERSION)
def rollback(recipe: str, version: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Make an earlier VERSION the current one; nothing is removed."""
    from evenkeel.tasks.versions.tags import rollback as go_back

    destination, dataset, workspace = dataset_of(recipe, overrides)
    found = go_back(destination, dataset, version, workspace)
    tell(found, as_json, f"v{found.version} is the current version of {dataset}")


@verb(OR_LATEST)
def verify(recipe: str, version: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Read every file of a version and compare it with its checksum; exit code 1 where one is damaged."""
    from evenkeel.tasks.versions.verify import verify as check

    destination, dataset, workspace = dataset_of(recipe, overrides)
    found = check(destination, dataset, version, workspace)
    damaged = "".join(f"\n  {damage.path}: {damage.problem}" for damage in found.damages)
    verdict = f"{len(found.damages)} are damaged:{damaged}" if found.damages else "all as they were written"
    tell(found, as_json, f"v{found.version} of {dataset}: {found.files} files, {found.bytes:,} bytes, {verdict}")
    if found.damages:
        raise SystemExit(1)


@verb(
    YES,
    click.option("--drop", multiple=True, metavar="VERSION", help="Remove this one whatever the retention rule says."),
)
def prune(recipe: str, overrides: tuple[str, ...], as_json: bool, yes: bool, drop: tuple[str, ...]) -> None:
    """Remove versions that no tag and no retention rule holds, files of dead runs, and step outputs nobody needs."""
    from evenkeel.tasks.versions.prune import prune as remove

    destination, dataset, workspace = dataset_of(recipe, overrides)
    found = remove(destination, dataset, workspace, drop=drop, dry_run=not yes)
    numbers = ", ".join(f"v{number}" for number in found.versions) or "no version"
    did = "removed" if yes else "would remove (--yes does it)"
    outputs = f"{len(found.outputs)} outputs of steps, {found.output_files} files, {found.output_bytes:,} bytes"
    words = f"{did}: {numbers}, {found.files} files, {found.bytes:,} bytes\nin the workspace: {outputs}"
    tell(found, as_json, words)


@verb(
    click.argument("ids", nargs=-1),
    YES,
    click.option("--from-file", type=click.File(), help="A file with one id per line."),
    click.option("--reason", default="", help="Why, for the record."),
    click.option("--republish", is_flag=True, help="Also publish the current version again without them."),
)
def takedown(
    recipe: str,
    ids: tuple[str, ...],
    overrides: tuple[str, ...],
    as_json: bool,
    yes: bool,
    from_file: Any,
    reason: str,
    republish: bool,
) -> None:
    """Keep rows with these IDS out of all coming versions, and say which published ones hold them."""
    from evenkeel.tasks.versions.takedown import takedown as take_down

    wanted = [*ids, *(line.strip() for line in from_file or ())]
    destination, dataset, workspace = dataset_of(recipe, overrides)
    found = take_down(destination, dataset, wanted, workspace, reason=reason, republish=republish, dry_run=not yes)
    held = "; ".join(f"v{number} holds {len(here)}" for number, here in found.held.items()) or "no version holds any"
    done = f"excluded from all coming versions ({found.list})" if yes else "nothing is changed (--yes excludes them)"
    again = f"; v{found.republished.version} is published without them" if found.republished else ""
    tell(found, as_json, f"{found.ids} ids: {held}; {done}{again}")


@verb(
    OR_LATEST,
    click.option(
        "--to", "form", type=click.Choice(["webdataset", "mds", "jsonl", "hf"]), required=True, help="The format."
    ),
    click.option("--out", required=True, metavar="FOLDER", help="An empty or missing local folder."),
    click.option("--once", is_flag=True, help="Write every row once, whatever its copies."),
)
def export(
    recipe: str, version: str, form: Any, out: str, once: bool, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Write a version in the format of a training library, by that library."""
    from evenkeel.tasks.versions.export import export as write
    from evenkeel.tasks.versions.listing import read_version

    destination, dataset, workspace = dataset_of(recipe, overrides)
    found = write(read_version(destination, dataset, version, workspace), form, out, copies=not once)
    tell(found, as_json, f"{found.rows:,} rows in {found.files} files of {found.format}: {found.uri}")


VERBS = (versions, show, diff, tag, untag, rollback, verify, prune, takedown, export)
