"""Take rows down: say which published versions hold them, keep them out of every coming one, republish without them."""

from collections.abc import Iterable
from contextlib import suppress

from pydantic import BaseModel, ConfigDict

from evenkeel.infra.errors import RecipeError, VersionNotFound
from evenkeel.tasks.publish import commit, trail
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.exclusions import exclude_ids, excluded_ids, find_ids
from evenkeel.tasks.publish.opening import dataset_table, require_keeping
from evenkeel.tasks.publish.publish import PublishResult
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.listing import list_versions, previous_version, read_manifest
from evenkeel.tasks.versions.republish import republish as publish_again


class Takedown(BaseModel):
    """What a takedown came to.

    held: version -> the ids it still holds. nowhere: ids that no version holds. list: the file that excludes them from
    coming runs, None in a dry run. republished: the version without them, where one was asked for and needed.
    """

    model_config = ConfigDict(frozen=True)

    dataset: str
    ids: int
    held: dict[int, list[str]]
    nowhere: list[str]
    list: str | None
    republished: PublishResult | None = None


def takedown(
    config: DestinationConfig,
    dataset: str,
    ids: Iterable[str],
    workspace: str,
    *,
    reason: str = "",
    republish: bool = False,
    dry_run: bool = True,
) -> Takedown:
    """Name the versions that hold `ids`, exclude them from all coming versions, and republish the current one if asked.

    A dry run changes nothing. Earlier versions keep the rows until they are pruned: `prune(drop=...)`.
    """
    wanted = sorted({one for one in ids if one})
    if not wanted:
        raise RecipeError("no ids to take down", remedy="name at least one")
    if not dry_run:
        require_keeping(config, dataset, workspace)
    known = list_versions(config, dataset, workspace)
    held = {version.version: _holds(version, wanted) for version in known}
    result = Takedown(
        dataset=dataset,
        ids=len(wanted),
        held={number: found for number, found in held.items() if found},
        nowhere=sorted(set(wanted).difference(*held.values())),
        list=None if dry_run else exclude_ids(config.uri, dataset, wanted, reason),
    )
    if not dry_run:
        _record(config, dataset, result, reason, workspace)
    return result if dry_run or not republish else without_rows(config, dataset, result, workspace, reason)


def without_rows(
    config: DestinationConfig, dataset: str, found: Takedown, workspace: str, reason: str = ""
) -> Takedown:
    """Publish the current version again without the rows of a takedown, where it holds some, and return both.

    Raises GateFailed where a gate that blocks fails without them; the rows stay out of all coming versions.
    """
    current = previous_version(config, dataset, workspace)
    if current is None or current.version not in found.held:
        return found
    excluded = excluded_ids(config.uri, dataset)
    return found.model_copy(
        update={"republished": publish_again(config, dataset, current, excluded, reason, workspace)}
    )


def _record(config: DestinationConfig, dataset: str, found: Takedown, reason: str, workspace: str) -> None:
    """Record the takedown in the audit trail: how many ids and which versions, not the ids."""
    holding = ", ".join(f"v{number}" for number in sorted(found.held)) or "no version"
    told = f"{found.ids} ids, in {holding}" + (f": {reason}" if reason else "")
    with suppress(VersionNotFound), dataset_table(config, dataset, workspace) as table:
        one = trail.entry("took down", reason=told)
        commit.retried(table, lambda: commit.apply(table, trail.record(table.metadata, one), ()))


def _holds(version: Version, ids: list[str]) -> list[str]:
    return find_ids(version.location, read_manifest(version).data, ids)
