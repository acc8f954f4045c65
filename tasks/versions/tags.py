"""Move the names that mean versions: tags, and which version is the current one and stays so."""

from pydantic import Field
from pyiceberg.table import Table
from pyiceberg.table.update import RemoveSnapshotRefUpdate, TableUpdate

from evenkeel.infra.errors import RecipeError, VersionNotFound
from evenkeel.tasks.publish import commit, trail
from evenkeel.tasks.publish.config import LATEST, DestinationConfig, check_tag_name
from evenkeel.tasks.publish.index import write_index
from evenkeel.tasks.publish.opening import dataset_table, published_table
from evenkeel.tasks.publish.table import Version, find, versions
from evenkeel.tasks.publish.trail import Entry


class Moved(Version):
    """A version to which something was done. entry: what the audit trail says of it."""

    entry: Entry = Field(exclude=True)


def tag(config: DestinationConfig, dataset: str, ref: str | int, name: str, workspace: str) -> Moved:
    """Let the tag `name` mean the version that `ref` means, atomically, and return that version.

    Raises RecipeError where the name is not free: `latest` always means the current version.
    """
    try:
        check_tag_name(name)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    with dataset_table(config, dataset, workspace) as table:

        def once() -> tuple[int, Entry]:
            known = {one for version in versions(table) for one in version.tags}
            previous = find(table, name).version if name in known else None
            version = find(table, ref)
            one = trail.entry("promoted", version.version, previous=previous, tag=name)
            _move(table, version, [name], trail.record(table.metadata, one))
            return version.version, one

        return _done(table, *commit.retried(table, once))


def rollback(config: DestinationConfig, dataset: str, ref: str | int, workspace: str, reason: str = "") -> Moved:
    """Make an earlier version the current one and hold it there; nothing is removed.

    `latest` and the destination's tag mean it too. Until it is released, runs publish beside it.
    """
    return _hold(config, dataset, ref, workspace, reason, "rolled back")


def hold(config: DestinationConfig, dataset: str, ref: str | int, workspace: str, reason: str = "") -> Moved:
    """Make a version the current one and hold it there; until it is released, runs publish beside it."""
    return _hold(config, dataset, ref, workspace, reason, "held")


def release(config: DestinationConfig, dataset: str, workspace: str, reason: str = "") -> Moved:
    """Release the version that is held, and return it; it stays the current one until a run publishes another.

    Raises VersionNotFound where none is held.
    """
    with dataset_table(config, dataset, workspace) as table:

        def once() -> tuple[int, Entry]:
            held = trail.read_hold(table.metadata)
            if held is None:
                raise VersionNotFound(
                    f"no version of {dataset!r} is held", remedy="runs publish as always: there is nothing to release"
                )
            one = trail.entry("released", held.version, reason=reason)
            updates = (*trail.release(table.metadata), *trail.record(table.metadata, one))
            commit.apply(table, updates, (commit.stays(table, "main"),))
            return held.version, one

        return _done(table, *commit.retried(table, once))


def untag(config: DestinationConfig, dataset: str, name: str, workspace: str) -> Moved:
    """Remove the tag `name`; the version it meant stays and is returned."""
    with dataset_table(config, dataset, workspace) as table:
        if name == LATEST:
            raise RecipeError("`latest` always means the current version and cannot be removed")
        version = find(table, name)
        if name not in version.tags:
            raise VersionNotFound(f"dataset {dataset!r} has no tag {name!r}", found=", ".join(version.tags) or "none")

        def once() -> tuple[int, Entry]:
            one = trail.entry("untagged", version.version, tag=name)
            updates = (RemoveSnapshotRefUpdate(ref_name=name), *trail.record(table.metadata, one))
            commit.apply(table, updates, ())
            return version.version, one

        return _done(table, *commit.retried(table, once))


def history(config: DestinationConfig, dataset: str, workspace: str) -> list[Entry]:
    """Return what was done to the versions of a dataset, newest first: the last 200 entries of its audit trail."""
    with published_table(config, dataset, workspace) as table:
        return trail.read_trail(table.metadata)


def _hold(
    config: DestinationConfig, dataset: str, ref: str | int, workspace: str, reason: str, action: trail.Action
) -> Moved:
    with dataset_table(config, dataset, workspace) as table:

        def once() -> tuple[int, Entry]:
            version = find(table, ref)
            if version.is_trial:
                raise RecipeError(
                    f"v{version.version} is a trial of a mixture, which never becomes the current version",
                    found=", ".join(version.tags),
                    remedy="approve what its loop ends with: evenkeel mix RECIPE --approve",
                )
            current = next((one.version for one in versions(table) if one.current), None)
            one = trail.entry(action, version.version, previous=current, reason=reason)
            updates = (*trail.hold(one, version.version), *trail.record(table.metadata, one))
            _move(table, version, config.followers, updates)
            return version.version, one

        return _done(table, *commit.retried(table, once))


def _move(table: Table, version: Version, names: list[str], more: tuple[TableUpdate, ...]) -> None:
    """Let names mean a version, and do `more`, in one commit."""
    updates, requirements = commit.point(table, version.snapshot_id, names)
    commit.apply(table, (*updates, *more), (*requirements, commit.stays(table, f"v{version.version}")))


def _done(table: Table, number: int, entry: Entry) -> Moved:
    write_index(table)
    return Moved(**find(table, number).model_dump(), entry=entry)
