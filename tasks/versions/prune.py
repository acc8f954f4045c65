"""Remove old versions by the retention rule, files that no version holds, and step outputs that are no longer needed.

A prune and a publisher may meet. The prune writes the mark PRUNED into a folder and then reads the catalog; the
publisher registers its audit branch in the catalog and then checks for the mark. So the second of them sees the first:
the prune leaves the folder alone, or the publisher stops and the next run stages anew.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import RemoveSnapshotRefUpdate, RemoveSnapshotsUpdate

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.listing import Folder, folders, listing, store_time, touched
from evenkeel.tasks.publish import commit
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.publish.index import write_index
from evenkeel.tasks.publish.layout import BLOCKED, PRUNED, VERSIONS, dataset_folder
from evenkeel.tasks.publish.opening import dataset_table, kept_table
from evenkeel.tasks.publish.table import Version, facts_of, find, home, is_home, versions
from evenkeel.tasks.versions.outputs import prune_outputs


class Prune(BaseModel):
    """What a prune removed, or would remove.

    kept: version -> why. folders: of versions, dead runs and what blocked runs left. metadata: Iceberg files that
    nothing refers to. outputs: step outputs in the workspace, whose files and bytes are counted apart.
    """

    model_config = ConfigDict(frozen=True)

    dataset: str
    dry_run: bool
    kept: dict[int, str]
    versions: list[int]
    folders: list[str]
    metadata: int
    files: int
    bytes: int
    outputs: list[str] = []
    output_files: int = 0
    output_bytes: int = 0


def prune(
    config: DestinationConfig,
    dataset: str,
    workspace: str,
    *,
    drop: Collection[str | int] = (),
    dry_run: bool = True,
) -> Prune:
    """Remove versions that the retention rule lets go, files of dead runs, and step outputs that are no longer needed.

    drop: versions to remove whatever the rule says; tagged and current ones are refused with RecipeError. Everything is
    judged by the store's clock. A dry run writes nothing; interrupted, a prune goes on where it stopped when run again.
    """
    folder = dataset_folder(config.uri, dataset)
    opened = kept_table(config, dataset, workspace, folder) if dry_run else dataset_table(config, dataset, workspace)
    with opened as table:
        now = store_time(home(table), write=not dry_run)
        grace = now - timedelta(hours=config.retention.grace_hours)
        if dry_run:
            kept, gone = _sort_out(table, config.retention, now, drop)
        else:
            kept, gone = _forget(table, config.retention, now, drop, grace)
        removed = {version.location for version in gone}
        held = _referenced(table) - removed
        lost = [
            folder
            for folder in _folders(table)
            if folder.uri not in held and (PRUNED in folder.names or folder.uri in removed or folder.touched < grace)
        ]
        blocked = [folder for folder in folders(storage.join(home(table), BLOCKED)) if folder.touched < grace]
        metadata = _stray_metadata(table, grace)
        if not dry_run:
            write_index(table)
            lost = [folder for folder in lost if _remove(table, folder.uri)]
            for uri in [*metadata, *(folder.uri for folder in blocked)]:
                storage.remove(uri)
        lost += blocked
        rest = [version for version in versions(table) if version.version in kept]
    outputs = prune_outputs(workspace, dataset, rest, config.retention.workspace_days, dry_run=dry_run)
    return Prune(
        dataset=dataset,
        dry_run=dry_run,
        kept=kept,
        versions=sorted(version.version for version in gone),
        folders=[folder.uri for folder in lost],
        metadata=len(metadata),
        files=sum(folder.files for folder in lost) + len(metadata),
        bytes=sum(folder.bytes for folder in lost),
        outputs=[output.uri for output in outputs],
        output_files=sum(output.files for output in outputs),
        output_bytes=sum(output.bytes for output in outputs),
    )


def _sort_out(
    table: Table, rule: Retention, now: datetime, drop: Collection[str | int]
) -> tuple[dict[int, str], list[Version]]:
    """Return why each kept version is kept, and the versions to remove."""
    dropped = {find(table, ref).version for ref in drop}
    kept: dict[int, str] = {}
    gone = []
    for place, version in enumerate(versions(table)):
        reasons = ["current"] if version.current else []
        reasons += [f"tag {tag}" for tag in version.tags]
        if version.version in dropped and reasons:
            raise RecipeError(
                f"v{version.version} is held and cannot be dropped",
                found=", ".join(reasons),
                remedy="roll back to another version, or `evenkeel untag` the name, first",
            )
        if version.version not in dropped:
            reasons += [f"among the last {rule.keep_last}"] if place < rule.keep_last else []
            young = now - datetime.fromisoformat(version.created) < timedelta(days=rule.keep_days)
            reasons += [f"younger than {rule.keep_days:g} days"] if young else []
        if reasons:
            kept[version.version] = ", ".join(reasons)
        else:
            gone.append(version)
    return kept, gone


def _forget(
    table: Table, rule: Retention, now: datetime, drop: Collection[str | int], grace: datetime
) -> tuple[dict[int, str], list[Version]]:
    """Let the catalog forget versions and abandoned audit branches: first their names, then what no name holds.

    Each is a commit that fails if others commit. A REST server does not check that; there a name that was given to a
    version at the last moment brings it back, and once its number is gone no further name can be given to it.
    """
    kept, gone = commit.retried(table, lambda: _drop_names(table, rule, now, drop, grace))
    back = commit.retried(table, lambda: _put_back(table, gone))
    commit.retried(table, lambda: _drop_snapshots(table))
    kept |= {version.version: "tagged while it was pruned" for version in back}
    return kept, [version for version in gone if version not in back]


def _drop_names(
    table: Table, rule: Retention, now: datetime, drop: Collection[str | int], grace: datetime
) -> tuple[dict[int, str], list[Version]]:
    idle = {folder.uri for folder in _folders(table) if folder.touched < grace}
    kept, gone = _sort_out(table, rule, now, drop)
    names = {f"v{version.version}" for version in gone}
    for name, ref in table.metadata.refs.items():
        snapshot = table.metadata.snapshot_by_id(ref.snapshot_id)
        if name.startswith("audit-") and snapshot is not None and _location(snapshot) in idle:
            names.add(name)
    if names:
        updates = tuple(RemoveSnapshotRefUpdate(ref_name=name) for name in sorted(names))
        commit.apply(table, updates, tuple(commit.stays(table, name) for name in sorted(names)))
    return kept, gone


def _put_back(table: Table, gone: list[Version]) -> list[Version]:
    held = {ref.snapshot_id for ref in table.metadata.refs.values()}
    back = [version for version in gone if version.snapshot_id in held]
    for version in back:
        commit.apply(table, *commit.point(table, version.snapshot_id, [f"v{version.version}"]))
    return back


def _drop_snapshots(table: Table) -> None:
    held = {ref.snapshot_id for ref in table.metadata.refs.values()}
    lost = [snapshot.snapshot_id for snapshot in table.metadata.snapshots if snapshot.snapshot_id not in held]
    if lost:
        commit.apply(table, (RemoveSnapshotsUpdate(snapshot_ids=lost),), ())


def _referenced(table: Table) -> set[str]:
    """Return the folders that a version or an audit branch holds."""
    heads = {ref.snapshot_id for ref in table.metadata.refs.values()}
    held = (_location(snapshot) for snapshot in table.metadata.snapshots if snapshot.snapshot_id in heads)
    return {location for location in held if location is not None}


def _location(snapshot: Snapshot) -> str | None:
    facts = facts_of(snapshot)
    return facts.location if facts is not None else None


def _remove(table: Table, folder: str) -> bool:
    """Remove a folder unless a publisher has registered it by now; return whether it was removed."""
    storage.write_bytes(storage.join(folder, PRUNED), b"being removed by evenkeel prune\n")
    table.refresh()
    if folder in _referenced(table):
        storage.remove(storage.join(folder, PRUNED))
        return False
    storage.remove(folder)
    return True


def _folders(table: Table) -> list[Folder]:
    """Return every folder below `versions/`, sorted."""
    return folders(storage.join(home(table), VERSIONS))


def _stray_metadata(table: Table, grace: datetime) -> list[str]:
    """Return Iceberg's own files that the table no longer refers to and that no commit under way can be writing.

    A catalog that keeps them in a warehouse of its own also removes them itself.
    """
    if not is_home(table):
        return []
    known = {"version-hint.text", table.metadata_location.rpartition("/")[2]}
    known |= {entry.metadata_file.rpartition("/")[2] for entry in table.metadata.metadata_log}
    for snapshot in table.metadata.snapshots:
        known.add(snapshot.manifest_list.rpartition("/")[2])
        known |= {manifest.manifest_path.rpartition("/")[2] for manifest in snapshot.manifests(table.io)}
    base = storage.join(home(table), "metadata")
    return sorted(
        storage.join(base, path) for path, info in listing(base).items() if path not in known and touched(info) < grace
    )
