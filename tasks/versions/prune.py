"""Remove old versions by the retention rule, files that no version holds, and step outputs that are no longer needed.

Versions go into the trash first (`tasks/versions/trash.py`).

A prune and a publisher may meet. The prune writes the mark PRUNED into a folder and then reads the catalog; the
publisher registers its audit branch in the catalog and then checks for the mark. So the second of them sees the first:
the prune leaves the folder alone, or the publisher stops and the next run stages anew.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict
from pyiceberg.table import Table
from pyiceberg.table.update import RemoveSnapshotRefUpdate, RemoveSnapshotsUpdate, TableUpdate

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.listing import folders, store_time
from evenkeel.tasks.feedback.rounds import FOLDER as MIXTURE
from evenkeel.tasks.feedback.rounds import read_rounds
from evenkeel.tasks.publish import commit, trail
from evenkeel.tasks.publish.config import DestinationConfig, Retention, trial_of
from evenkeel.tasks.publish.index import write_index
from evenkeel.tasks.publish.layout import BLOCKED, dataset_folder
from evenkeel.tasks.publish.opening import dataset_table, kept_table
from evenkeel.tasks.publish.table import Version, find, home, location_of, versions
from evenkeel.tasks.versions import trash
from evenkeel.tasks.versions.leftovers import all_folders, dispose, leftovers, stray_metadata, tidy
from evenkeel.tasks.versions.outputs import prune_outputs


class Prune(BaseModel):
    """What a prune removed, or would remove.

    kept: version -> why. versions: those that are let go. folders: of versions, dead runs and what blocked runs left,
    removed for good. trash: folders put into the trash. metadata: Iceberg files that nothing refers to. outputs: step
    outputs in the workspace, whose files and bytes are counted apart.
    """

    model_config = ConfigDict(frozen=True)

    dataset: str
    dry_run: bool
    kept: dict[int, str]
    versions: list[int]
    folders: list[str]
    trash: list[str] = []
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
    at_once: bool = False,
    dry_run: bool = True,
) -> Prune:
    """Remove versions that the retention rule lets go, files of dead runs, and step outputs that are no longer needed.

    drop: versions to remove whatever the rule says; tagged and current ones are refused with RecipeError. Versions go
    into the trash for `retention.trash_days`, from where `restore` brings them back; at_once: remove them for good now,
    and all that is in the trash. Ages are judged by the store's clock. A dry run writes nothing;
    interrupted, a prune goes on where it stopped when it is run again.
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
        lost = leftovers(table, gone, now, grace, 0 if at_once else config.retention.trash_days)
        blocked = [folder for folder in folders(storage.join(home(table), BLOCKED)) if folder.touched < grace]
        metadata = stray_metadata(table, grace)
        if not dry_run:
            write_index(table)
            lost = [one for one in lost if dispose(table, one)]
            tidy(table)
            for uri in [*metadata, *(folder.uri for folder in blocked)]:
                storage.remove(uri)
        finally_gone = [*(one.folder for one in lost if one.action == "remove"), *blocked]
        rest = [version for version in versions(table) if version.version in kept]
    outputs = prune_outputs(workspace, dataset, rest, config.retention.workspace_days, dry_run=dry_run)
    return Prune(
        dataset=dataset,
        dry_run=dry_run,
        kept=kept,
        versions=sorted(version.version for version in gone),
        folders=[folder.uri for folder in finally_gone],
        trash=[one.folder.uri for one in lost if one.action == "trash"],
        metadata=len(metadata),
        files=sum(folder.files for folder in finally_gone) + len(metadata),
        bytes=sum(folder.bytes for folder in finally_gone),
        outputs=[output.uri for output in outputs],
        output_files=sum(output.files for output in outputs),
        output_bytes=sum(output.bytes for output in outputs),
    )


def _sort_out(
    table: Table, rule: Retention, now: datetime, drop: Collection[str | int]
) -> tuple[dict[int, str], list[Version]]:
    """Return why each kept version is kept, and the versions to remove.

    Trials of a mixture are kept while their loop goes on and while they are young; they are not among the last ones.
    """
    needed = read_rounds(storage.join(home(table), MIXTURE)).open_trials()
    plain = [version.version for version in versions(table) if not version.is_trial]
    dropped = {find(table, ref).version for ref in drop}
    kept: dict[int, str] = {}
    gone = []
    written = {folder.uri: folder.touched for folder in all_folders(table)}
    for version in versions(table):
        reasons = ["current"] if version.current else []
        reasons += [f"tag {tag}" for tag in version.tags if tag in needed or not trial_of([tag])]
        if version.version in dropped and reasons:
            raise RecipeError(
                f"v{version.version} is held and cannot be dropped",
                found=", ".join(reasons),
                remedy="roll back to another version, or `evenkeel untag` the name, first",
            )
        if version.version not in dropped:
            reasons += [f"among the last {rule.keep_last}"] if version.version in plain[: rule.keep_last] else []
            since = written.get(version.location) or datetime.fromisoformat(version.created)
            young = now - since < timedelta(days=rule.keep_days)
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
    idle = {folder.uri for folder in all_folders(table) if folder.touched < grace}
    kept, gone = _sort_out(table, rule, now, drop)
    names = {f"v{version.version}" for version in gone}
    names |= {tag for version in gone for tag in version.tags}  # of trials: other tags keep a version
    for name, ref in table.metadata.refs.items():
        snapshot = table.metadata.snapshot_by_id(ref.snapshot_id)
        if name.startswith("audit-") and snapshot is not None and location_of(table, snapshot) in idle:
            names.add(name)
    for version in gone:
        trash.put(table, version)
    if names:
        updates: tuple[TableUpdate, ...] = tuple(RemoveSnapshotRefUpdate(ref_name=name) for name in sorted(names))
        updates += trail.record(table.metadata, *(trail.entry("pruned", version.version) for version in gone))
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
