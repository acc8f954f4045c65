"""The target set of a recipe: looked at before anything runs, and what has been seen of it as a version."""

from pathlib import Path

from evenkeel.flows.recipe import Recipe
from evenkeel.tasks.dedup.target_set import SeenSet
from evenkeel.tasks.publish.config import LATEST
from evenkeel.tasks.signal.kinds.toward import TowardSignal
from evenkeel.tasks.versions.listing import previous_version, read_version


def require_target(recipe: Recipe, scratch: Path, dimension: int | None = None) -> None:
    """Raise InputError where the first rows of the target set cannot be used, before hours of work come to it.

    dimension: of the source's own vectors, where that is known.
    """
    if recipe.target_set is not None:
        recipe.target_set.require_usable(scratch, dimension)
        if recipe.target_set.seen is not None and recipe.target_set.seen.in_files:
            recipe.target_set.seen.require_usable(scratch, dimension)


def with_seen_version(recipe: Recipe, workspace: str) -> Recipe:
    """Return the recipe whose signals read the files of the version that their target calls seen.

    `latest` before the first version is nothing seen. Raises VersionNotFound for any other that is not there.
    """
    signals = list(recipe.signals)
    for place, signal in enumerate(signals):
        if isinstance(signal, TowardSignal) and signal.target is not None and signal.target.seen is not None:
            found = _found(signal.target.seen, recipe, workspace)
            target = signal.target.model_copy(update={"seen": found})
            signals[place] = signal.model_copy(update={"target": target})
    return recipe.model_copy(update={"signals": signals})


def _found(seen: SeenSet, recipe: Recipe, workspace: str) -> SeenSet | None:
    if seen.in_files:
        return seen
    if seen.version == LATEST:
        version = previous_version(recipe.destination, recipe.dataset, workspace)
    else:
        version = read_version(recipe.destination, recipe.dataset, seen.version, workspace)
    return None if version is None else seen.found(version.data)
