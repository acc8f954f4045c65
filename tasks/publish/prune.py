"""Remove old versions by the retention rule, and files that no version holds; never a referenced one.

A prune and a publisher may meet. The prune writes the mark PRUNED into a folder and then looks into the catalog; the
publisher registers its audit branch in the catalog and then looks for the mark. Whoever comes second sees the other:
the prune leaves the folder alone, or the publisher stops and the next run stages anew.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict
from pyiceberg.table import Table
from pyiceberg.table.update import RemoveSnapshotRefUpdate, RemoveSnapshotsUpdate, TableUpdate

from infra import storage
from infra.errors import RecipeError
from tasks.publish import commit
from tasks.publish.config import DestinationConfig, Retention
from tasks.publish.layout import PRUNED, VERSIONS
from tasks.publish.publish import write_index
from tasks.publish.table import Version, dataset_table, facts_of, find, versions
from tasks.publish.versions import retried


class Folder(BaseModel):
    """A folder below `versions/`; `touched` is the store's own time of its newest file."""

    model_config = ConfigDict(frozen=True)

    uri: str
    files: int
    bytes: int
    touched: datetime
    marked: bool


class Prune(BaseModel):
    """What a prune removed, or would remove. kept: version -> why. metadata: Iceberg files that nothing refers to."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    dry_run: bool
    kept: dict[int, str]
    versions: list[int]
    folders: list[str]
    metadata: int
    files: int
    bytes: int


def prune(
    config: DestinationConfig,
    dataset: str,
    workspace: str,
    *,
    drop: Collection[str | int] = (),
    dry_run: bool = True,
) -> Prune:
    """Remove versions that the retention rule lets go, and files of killed, failed or abandoned runs.

    drop: versions to remove whatever the rule says; tagged and current ones are refused with RecipeError. Everything is
    judged by the store's clock. Interrupted, it goes on where it stopped when it is run again.
    """
    with dataset_table(config, dataset, workspace) as table:
        now = _store_time(table)
        grace = now - timedelta(hours=config.retention.grace_hours)
        if dry_run:
            kept, gone = _sort_out(table, config.retention, now, drop)
        else:
            kept, gone = retried(table, dataset, lambda: _forget(table, config.retention, now, drop, grace))
        removed = {version.location for version in gone}
        held = _referenced(table) - removed
        folders = [
            folder
            for folder in _folders(table)
            if folder.uri not in held and (folder.marked or folder.uri in removed or folder.touched < grace)
        ]
        metadata = _stray_metadata(table, grace)
        if not dry_run:
            write_index(table)
            folders = [folder for folder in folders if _remove(table, folder.uri)]
            for uri in metadata:
                storage.remove(uri)
        return Prune(
            dataset=dataset,
            dry_run=dry_run,
            kept=kept,
            versions=sorted(version.version for version in gone),
            folders=[folder.uri for folder in folders],
            metadata=len(metadata),
            files=sum(folder.files for folder in folders) + len(metadata),
            bytes=sum(folder.bytes for folder in folders),
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
                remedy="roll back to another version, or move the tag, first",
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
    """Let the catalog forget versions and abandoned audit branches, in one commit that fails if others commit."""
    idle = {folder.uri for folder in _folders(table) if folder.touched < grace}
    kept, gone = _sort_out(table, rule, now, drop)
    names = {f"v{version.version}" for version in gone}
    for name, ref in table.metadata.refs.items():
        snapshot = table.metadata.snapshot_by_id(ref.snapshot_id)
        if name.startswith("audit-") and snapshot is not None and facts_of(snapshot).get("location") in idle:
            names.add(name)
    held = {ref.snapshot_id for name, ref in table.metadata.refs.items() if name not in names}
    lost = [snapshot.snapshot_id for snapshot in table.metadata.snapshots if snapshot.snapshot_id not in held]
    updates: list[TableUpdate] = [RemoveSnapshotRefUpdate(ref_name=name) for name in sorted(names)]
    if lost:
        updates.append(RemoveSnapshotsUpdate(snapshot_ids=lost))
    if updates:
        commit.apply(table, tuple(updates), ())
    return kept, gone


def _referenced(table: Table) -> set[str]:
    """Return the folders that a version or an audit branch holds."""
    heads = {ref.snapshot_id for ref in table.metadata.refs.values()}
    held = (
        facts_of(snapshot).get("location") for snapshot in table.metadata.snapshots if snapshot.snapshot_id in heads
    )
    return {location for location in held if location is not None}


def _remove(table: Table, folder: str) -> bool:
    """Remove a folder unless a publisher came to hold it meanwhile, and tell whether it was removed."""
    storage.write_bytes(storage.join(folder, PRUNED), b"being removed by evenkeel prune\n")
    table.refresh()
    if folder in _referenced(table):
        storage.remove(storage.join(folder, PRUNED))
        return False
    storage.remove(folder)
    return True


def _folders(table: Table) -> list[Folder]:
    """Return every folder below `versions/`, sorted."""
    base = storage.join(table.metadata.location, VERSIONS)
    parts: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for path, info in _listing(base).items():
        run, _, rest = path.partition("/")
        if rest:  # some stores list an emptied folder as a file of no bytes
            parts.setdefault(run, []).append((rest, info))
    return [
        Folder(
            uri=storage.join(base, run),
            files=len(files),
            bytes=sum(info["size"] for _, info in files),
            touched=max(_touched(info) for _, info in files),
            marked=any(path == PRUNED for path, _ in files),
        )
        for run, files in sorted(parts.items())
    ]


def _stray_metadata(table: Table, grace: datetime) -> list[str]:
    """Return Iceberg's own files that the table no longer refers to and that no commit under way can be writing."""
    known = {"version-hint.text", table.metadata_location.rpartition("/")[2]}
    known |= {entry.metadata_file.rpartition("/")[2] for entry in table.metadata.metadata_log}
    for snapshot in table.metadata.snapshots:
        known.add(snapshot.manifest_list.rpartition("/")[2])
        known |= {manifest.manifest_path.rpartition("/")[2] for manifest in snapshot.manifests(table.io)}
    base = storage.join(table.metadata.location, "metadata")
    return sorted(
        storage.join(base, path)
        for path, info in _listing(base).items()
        if path not in known and _touched(info) < grace
    )


def _store_time(table: Table) -> datetime:
    """Return what time it is by the clock of the store, which also dates the files."""
    probe = storage.join(table.metadata.location, ".clock")
    storage.write_bytes(probe, b"evenkeel\n")
    fs, path = storage.filesystem(probe)
    fs.invalidate_cache()
    now = _touched(fs.info(path))
    storage.remove(probe)
    return now


def _listing(base: str) -> dict[str, dict[str, Any]]:
    """Return what the store says of every file below `base`, by the path from there."""
    fs, path = storage.filesystem(base)
    fs.invalidate_cache()
    found = fs.find(path, detail=True) if fs.exists(path) else {}
    return {name[len(path.rstrip("/")) + 1 :]: info for name, info in found.items()}


def _touched(info: dict[str, Any]) -> datetime:
    """Return when the store says that a file was last written."""
    when = next(info[key] for key in ("LastModified", "mtime", "last_modified", "updated", "created") if info.get(key))
    if isinstance(when, int | float):
        return datetime.fromtimestamp(when, UTC)
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    moment: datetime = when
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
