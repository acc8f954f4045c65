"""Flows that move names between versions, remove old ones and take rows down. Thin: the work is in tasks/publish."""

import json
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from pydantic import BaseModel

from evenkeel.flows.recipe import Recipe, RecipeFile
from evenkeel.flows.running import absolute
from evenkeel.tasks.versions import export as exports
from evenkeel.tasks.versions import listing as versions
from evenkeel.tasks.versions import prune as pruning
from evenkeel.tasks.versions import tags
from evenkeel.tasks.versions import takedown as takedowns
from evenkeel.tasks.versions.export import Format


@flow(name="promote", flow_run_name="promote")
def promote(recipe: Recipe | RecipeFile, version: str, name: str) -> dict[str, Any]:
    """Let a name (a tag) mean a version.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The version to name: 3, v3, latest or another tag.
        name: The tag to move, such as production.
    """
    wanted = _load(recipe)
    found = tags.tag(wanted.destination, wanted.dataset, version, name, absolute(wanted.workspace))
    return _show(f"{name} means v{found.version} of {wanted.dataset}", found)


@flow(name="rollback", flow_run_name="rollback")
def rollback(recipe: Recipe | RecipeFile, version: str) -> dict[str, Any]:
    """Make an earlier version the current one; nothing is removed.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The version to go back to: 3, v3 or a tag.
    """
    wanted = _load(recipe)
    found = tags.rollback(wanted.destination, wanted.dataset, version, absolute(wanted.workspace))
    return _show(f"v{found.version} is the current version of {wanted.dataset}", found)


@flow(name="prune", flow_run_name="prune")
def prune(recipe: Recipe | RecipeFile, drop: list[str] | None = None, dry_run: bool = True) -> dict[str, Any]:
    """Remove versions that no tag and no retention rule holds, files of dead runs, and step outputs nobody needs.

    Args:
        recipe: The recipe whose destination says what is kept, or the file that holds it.
        drop: Versions to remove whatever the retention rule says.
        dry_run: Only say what would be removed.
    """
    wanted = _load(recipe)
    found = pruning.prune(
        wanted.destination, wanted.dataset, absolute(wanted.workspace), drop=drop or (), dry_run=dry_run
    )
    verb = "would remove" if dry_run else "removed"
    numbers = ", ".join(f"v{number}" for number in found.versions) or "none"
    files, size = found.files + found.output_files, found.bytes + found.output_bytes
    return _show(
        f"prune {verb} versions {numbers} and {len(found.outputs)} outputs of steps: {files} files, {size:,} bytes",
        found,
    )


@flow(name="takedown", flow_run_name="takedown")
def takedown(
    recipe: Recipe | RecipeFile, ids: list[str], reason: str = "", republish: bool = False, dry_run: bool = True
) -> dict[str, Any]:
    """Keep rows out of all coming versions and say which published ones hold them.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        ids: The ids of the rows, as the source names them.
        reason: Why, for the record.
        republish: Also publish the current version again without them.
        dry_run: Only say which versions hold them.
    """
    wanted = _load(recipe)
    found = takedowns.takedown(
        wanted.destination,
        wanted.dataset,
        ids,
        absolute(wanted.workspace),
        reason=reason,
        republish=republish,
        dry_run=dry_run,
    )
    held = ", ".join(f"v{number} ({len(rows)})" for number, rows in found.held.items()) or "no version"
    verb = "looked for" if dry_run else "took down"
    return _show(f"{verb} {found.ids} ids of {wanted.dataset}; held by {held}", found)


@flow(name="export", flow_run_name="export")
def export(recipe: Recipe | RecipeFile, version: str, to: Format, folder: str, copies: bool = True) -> dict[str, Any]:
    """Write a version in the format of a training library, on the machine of the worker.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The version to write: 3, v3, latest or another tag.
        to: The format.
        folder: An empty or missing local folder.
        copies: Write a row as often as its copies say; else once.
    """
    wanted = _load(recipe)
    found = versions.read_version(wanted.destination, wanted.dataset, version, absolute(wanted.workspace))
    written = exports.export(found, to, folder, copies=copies)
    return _show(f"{written.rows:,} rows of v{found.version} of {wanted.dataset} are in {written.uri}", written)


def _load(recipe: Recipe | RecipeFile) -> Recipe:
    return recipe.load() if isinstance(recipe, RecipeFile) else recipe


def _show(sentence: str, found: BaseModel) -> dict[str, Any]:
    """Log the sentence, show it with all details as an artifact of the run, and return the details."""
    get_run_logger().info(sentence)
    details: dict[str, Any] = found.model_dump(mode="json")
    page = f"{sentence}.\n\n```json\n{json.dumps(details, indent=2, ensure_ascii=False)}\n```\n"
    create_markdown_artifact(page, description=sentence)
    return details
