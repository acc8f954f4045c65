"""What was published before: the versions that a coming one is compared with."""

from dataclasses import dataclass
from datetime import UTC, datetime

from evenkeel.flows.recipe import Recipe
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.listing import list_versions


@dataclass(frozen=True)
class Earlier:
    """What the coming version is compared with, and what the card says of its place among the others.

    same: the version that holds exactly the coming rows, which a run without `--force` finds rather than makes.
    previous: the version that is compared with. history: the versions before the coming one, oldest first, without
    trials. highest: the largest number of a version, trials among them.
    """

    same: Version | None
    previous: Version | None
    history: list[Version]
    highest: int = 0

    @property
    def number(self) -> int:
        """The number of the coming version, if nobody publishes before it."""
        return self.same.version if self.same else self.highest + 1

    @property
    def day(self) -> str:
        """The day that the card names, in UTC, as 2026-03-31: that of a version that is there already, else today."""
        return self.same.created[:10] if self.same else datetime.now(UTC).date().isoformat()


def earlier_versions(recipe: Recipe, workspace: str, content_key: str, force: bool = False) -> Earlier:
    """Return what the coming version is compared with: the current version.

    Where the current one, or one after it that was rolled back from, already holds exactly the coming rows, it is the
    coming one, and is compared with what it was compared with when it was made: so a second run of the same recipe
    finds every step done. With `force` a new version is made of the same rows, and is compared with the current one.
    """
    every = list_versions(recipe.destination, recipe.dataset, workspace)[::-1]
    known = [version for version in every if not version.is_trial]
    current = next((version for version in known if version.current), None)
    since = [version for version in known if current is not None and version.version >= current.version]
    same = next((version for version in since if version.content_key == content_key), None)
    if force or same is None:
        return Earlier(None, current, known, every[-1].version if every else 0)
    before = [version for version in known if version.version < same.version]
    parent = next((version for version in before if version.version == same.parent), None)
    return Earlier(same, parent or (before[-1] if before else None), before, every[-1].version)


def sampled_alike(recipe: Recipe, previous: StepRef) -> bool:
    """Tell whether the last version was sampled by the same section of the recipe.

    Where it was not, a person has asked for another size or rule: the card still shows the difference, but the gates
    do not hold the coming version to the shares of the last one.
    """
    return bool(previous.facts["sampling"] == recipe.sampling.model_dump(mode="json"))
