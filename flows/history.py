"""Find the published versions that a coming version is compared with."""

from datetime import UTC, datetime

from evenkeel.flows.recipe import Recipe
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.listing import list_versions, read_manifest


def earlier_versions(recipe: Recipe, workspace: str, content_key: str) -> list[Version]:
    """Return the versions before the coming one, oldest first.

    Where the newest version already holds exactly the coming rows, it is the coming version and is left out. So a
    second run of the same recipe is compared with the same version as the first, and finds every step done.
    """
    known = list_versions(recipe.destination, recipe.dataset, workspace)[::-1]
    while known and known[-1].content_key == content_key:
        known.pop()
    return known


def day_made(recipe: Recipe, workspace: str, content_key: str) -> str:
    """Return the day on the card: that of the current version where it holds these rows already, else today.

    So the card of an unchanged version stays the same on another day. UTC, as 2026-03-31.
    """
    known = list_versions(recipe.destination, recipe.dataset, workspace)
    same = bool(known) and known[0].content_key == content_key
    return known[0].created[:10] if same else datetime.now(UTC).date().isoformat()


def profile_of(version: Version) -> StepRef:
    """Return the profile of a published version as an input for steps, keyed by the version's own checksum."""
    manifest = read_manifest(version)
    facts = {
        "centroid_hash": manifest.centroid_hash,
        "version": version.version,
        "sampling": manifest.recipe.get("sampling"),
    }
    return StepRef(step="previous", key=version.manifest_sha256[:20], uri=version.profile, facts=facts)


def sampled_alike(recipe: Recipe, previous: StepRef) -> bool:
    """Tell whether the last version was sampled by the same section of the recipe.

    Where it was not, a person has asked for another size or rule: the card shows the difference, but the gates do not
    compare the shares of the coming version with those of the last one.
    """
    return bool(previous.facts["sampling"] == recipe.sampling.model_dump(mode="json"))
