"""Remove step outputs from the workspace that no kept version builds on and that no run has used lately.

A run says what it uses by `infra.workspace.claim`, before each of its steps. A step takes a day at most, so what a
running run uses was claimed within that time, and `Retention.workspace_days` is two at least.
"""

import re
from collections.abc import Iterable
from datetime import timedelta

from evenkeel.infra import storage
from evenkeel.infra.listing import Folder, folders, listing, store_time, touched
from evenkeel.infra.workspace import DONE, PRUNING, USED
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.versions.listing import read_manifest

BASE = ("ingest", "embed", "cluster")
KEY = re.compile(r"[0-9a-f]{20}")


def prune_outputs(
    workspace: str, dataset: str, kept: Iterable[Version], days: float, *, dry_run: bool = True
) -> list[Folder]:
    """Remove the step outputs of a dataset that are no longer needed, and return them; a dry run removes none.

    Kept are all outputs that the current version was made of, those that each kept version's clusters were made in,
    and every other, finished or not, that was written or used in the last `days` days by the store's clock.
    Interrupted, it goes on where it stopped when it is run again.
    """
    base = storage.join(workspace, dataset)
    needed = {storage.join(base, place) for version in kept for place in _needed(version)}
    found = [folder for folder in folders(base, depth=2) if KEY.fullmatch(folder.uri.rpartition("/")[2])]
    if not found:
        return []
    before = store_time(base, write=not dry_run) - timedelta(days=days)
    idle = [
        folder for folder in found if folder.uri not in needed and (folder.touched < before or PRUNING in folder.names)
    ]
    return idle if dry_run else [folder for folder in idle if _remove(folder.uri, days)]


def _needed(version: Version) -> set[str]:
    """Return what a run after this version, or after a rollback to it, builds on, as `<step>/<key>`."""
    document = read_manifest(version).document
    steps = document.get("steps", {})
    base = document.get("base") or {name: steps[name] for name in BASE if name in steps}
    refs = [*base.values(), *(steps.values() if version.current else ())]
    return {f"{ref['step']}/{ref['key']}" for ref in refs}


def _remove(uri: str, days: float) -> bool:
    """Remove an output unless a run has claimed it by now; return whether it was removed."""
    mark = storage.join(uri, PRUNING)
    storage.write_bytes(mark, b"being removed by evenkeel prune\n")
    claimed = listing(uri).get(USED)
    if claimed is not None and touched(claimed) > store_time(uri) - timedelta(days=days):
        storage.remove(mark)
        return False
    storage.remove(storage.join(uri, DONE))
    storage.remove_files([file for file in storage.list_files(uri) if file.rpartition("/")[2] != PRUNING])
    storage.remove(uri)
    return True
