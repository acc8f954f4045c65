"""What was published before: the versions that a coming one is compared with."""

from flows.recipe import Recipe
from infra import storage
from infra.errors import VersionNotFound
from infra.workspace import StepRef
from tasks.publish.table import Version, dataset_table, versions


def published_versions(recipe: Recipe, workspace: str) -> list[Version]:
    """Return every version of the recipe's dataset, oldest first; empty where there is none yet."""
    try:
        with dataset_table(recipe.destination, recipe.dataset, workspace) as table:
            return versions(table)[::-1]
    except VersionNotFound:
        return []


def earlier_versions(recipe: Recipe, workspace: str, content_key: str) -> list[Version]:
    """Return the versions before the coming one, oldest first.

    Where the newest one already holds exactly the coming rows, it is the coming one and does not count: so a second
    run of the same recipe is compared with what the first was compared with, and finds every step done.
    """
    known = published_versions(recipe, workspace)
    while known and known[-1].content_key == content_key:
        known.pop()
    return known


def profile_of(version: Version) -> StepRef:
    """Return the profile of a published version as an input for steps, keyed by the version's own checksum."""
    manifest = storage.read_json(version.manifest)
    facts = {"centroid_hash": manifest["centroid_hash"], "version": version.version}
    return StepRef(step="previous", key=version.manifest_sha256[:20], uri=version.profile, facts=facts)
