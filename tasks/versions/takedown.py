"""Take rows down: say which published versions hold them, keep them out of every coming one, republish without them."""

import secrets
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError
from evenkeel.infra.tables import read_footer, read_table
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.exclusions import exclude_ids, excluded_ids, find_ids
from evenkeel.tasks.publish.layout import BESIDE, OURS, copy_hashed
from evenkeel.tasks.publish.manifest import FileEntry, Staged, content_key
from evenkeel.tasks.publish.opening import require_keeping
from evenkeel.tasks.publish.publish import PublishResult, publish_files
from evenkeel.tasks.publish.staging import dispositions
from evenkeel.tasks.publish.staging.beside import write_table
from evenkeel.tasks.publish.staging.gather import write_data_file
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.listing import list_versions, read_manifest


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
        raise InputError("no ids to take down", remedy="name at least one")
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
    current = next((version for version in known if version.current), None)
    if dry_run or not republish or current is None or not held[current.version]:
        return result
    return result.model_copy(update={"republished": _republish(config, dataset, current, reason, workspace)})


def _holds(version: Version, ids: list[str]) -> list[str]:
    return find_ids(version.location, read_manifest(version).data, ids)


def _republish(config: DestinationConfig, dataset: str, version: Version, reason: str, workspace: str) -> PublishResult:
    """Publish the version again without excluded rows; all else is copied. One data file is in memory at a time."""
    manifest, excluded = read_manifest(version), pa.array(sorted(excluded_ids(config.uri, dataset)), pa.string())
    run = f"{version.location.rpartition('/')[2]}-{secrets.token_hex(4)}"
    folder = storage.join(version.location.rpartition("/")[0], run)
    files: list[FileEntry] = []
    removed: list[pa.Table] = []
    for entry in manifest.data:
        uri = storage.join(version.location, entry.path)
        table, group = read_table(uri), read_footer(uri).row_group(0).num_rows
        gone = pc.is_in(table["ek_id"], excluded)
        removed.append(table.filter(gone).select(["ek_row_id", "ek_id", "ek_copies"]))
        if (kept := table.filter(pc.invert(gone))).num_rows:
            files.append(write_data_file(folder, len(files), kept, group))
    rows = pa.concat_tables(removed)
    files += [_copied(version, folder, entry) for entry in manifest.files if entry.path.split("/")[0] in BESIDE]
    reasons = pa.array(["taken down"] * rows.num_rows, pa.string())
    quarantined = dispositions.quarantined(rows["ek_row_id"], rows["ek_id"], reasons)
    files.append(write_table(folder, f"{dispositions.FOLDER}/{run.rpartition('-')[2]}-takedown.parquet", quarantined))
    counts = dict(manifest.counts)
    counts["kept"] -= rows.num_rows
    counts["copies"] -= int(rows["ek_copies"].to_numpy().sum())
    counts["quarantined"] += rows.num_rows
    staged = Staged(
        **manifest.model_dump(include=set(Staged.model_fields) - {"run", "folder", "files", "counts", "content_key"}),
        run=run,
        folder=folder,
        files=files,
        counts=counts,
        content_key=content_key(files),
    )
    extras: dict[str, str | bytes] = {
        entry.path: storage.join(version.location, entry.path)
        for entry in manifest.files
        if entry.path.split("/")[0] not in OURS
    }
    document = {
        **manifest.document,
        "recipe": manifest.recipe,
        "seed": manifest.seed,
        "metrics": manifest.metrics,
        "reason": reason or f"takedown of {rows.num_rows} rows from v{version.version}",
    }
    return publish_files(config, dataset, staged, extras, document, workspace)


def _copied(version: Version, folder: str, entry: FileEntry) -> FileEntry:
    copy_hashed(storage.join(version.location, entry.path), storage.join(folder, entry.path))
    return entry
