"""Move the names that mean versions: tags, and which version is the current one."""

from pyiceberg.table.update import RemoveSnapshotRefUpdate

from evenkeel.infra.errors import RecipeError, VersionNotFound
from evenkeel.tasks.publish import commit
from evenkeel.tasks.publish.config import DestinationConfig, check_tag_name
from evenkeel.tasks.publish.index import write_index
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.table import Version, find


def tag(config: DestinationConfig, dataset: str, ref: str | int, name: str, workspace: str) -> Version:
    """Let the tag `name` mean the version that `ref` means, atomically, and return that version."""
    try:
        check_tag_name(name)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    return _move(config, dataset, ref, workspace, [name])


def rollback(config: DestinationConfig, dataset: str, ref: str | int, workspace: str) -> Version:
    """Make an earlier version the current one, and let the destination's tag mean it too; nothing is removed."""
    return _move(config, dataset, ref, workspace, ["main"] if config.tag is None else [config.tag, "main"])


def untag(config: DestinationConfig, dataset: str, name: str, workspace: str) -> Version:
    """Remove the tag `name`; the version it meant stays and is returned."""
    with dataset_table(config, dataset, workspace) as table:
        version = find(table, name)
        if name not in version.tags:
            raise VersionNotFound(f"dataset {dataset!r} has no tag {name!r}", found=", ".join(version.tags) or "none")
        commit.retried(table, lambda: commit.apply(table, (RemoveSnapshotRefUpdate(ref_name=name),), ()))
        write_index(table)
        return find(table, version.version)


def _move(config: DestinationConfig, dataset: str, ref: str | int, workspace: str, names: list[str]) -> Version:
    with dataset_table(config, dataset, workspace) as table:

        def once() -> int:
            version = find(table, ref)
            updates, requirements = commit.point(table, version.snapshot_id, names)
            commit.apply(table, updates, (*requirements, commit.stays(table, f"v{version.version}")))
            return version.version

        number = commit.retried(table, once)
        write_index(table)
        return find(table, number)
