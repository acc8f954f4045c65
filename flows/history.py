"""What was published before: the versions that a coming one is compared with."""

from flows.recipe import Recipe
from infra.workspace import StepRef
from tasks.publish.table import Version
from tasks.publish.versions import list_versions, read_manifest


def earlier_versions(recipe: Recipe, workspace: str, content_key: str) -> list[Version]:
    """Return the versions before the coming one, oldest first.

    Where the newest one already holds exactly the coming rows, it is the coming one and does not count: so a second
    run of the same recipe is compared with what the first was compared with, and finds every step done.
    """
    known = list_versions(recipe.destination, recipe.dataset, workspace)[::-1]
    while known and known[-1].content_key == content_key:
        known.pop()
    return known


def profile_of(version: Version) -> StepRef:
    """Return the profile of a published version as an input for steps, keyed by the version's own checksum."""
    facts = {"centroid_hash": read_manifest(version).centroid_hash, "version": version.version}
    return StepRef(step="previous", key=version.manifest_sha256[:20], uri=version.profile, facts=facts)
