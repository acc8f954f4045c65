"""The ids that were taken down from a dataset: the list beside it that keeps them out of all coming versions."""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

import numpy as np
import xxhash

from evenkeel.infra import storage
from evenkeel.infra.tables import read_group, read_groups
from evenkeel.tasks.publish.layout import dataset_folder
from evenkeel.tasks.publish.manifest import FileEntry

TAKEDOWNS = "takedowns"


def exclude_ids(destination: str, dataset: str, ids: Iterable[str], reason: str) -> str:
    """Add ids to a dataset's list, as a file of its own so that two takedowns never collide, and return its URI."""
    wanted = sorted(set(ids))
    name = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]
    uri = storage.join(dataset_folder(destination, dataset), TAKEDOWNS, f"{name}.json")
    created = datetime.now(UTC).isoformat(timespec="seconds")
    storage.write_json(uri, {"ids": wanted, "reason": reason, "created": created})
    return uri


def excluded_ids(destination: str, dataset: str) -> set[str]:
    """Return every id that was ever taken down from a dataset."""
    files = storage.list_files(storage.join(dataset_folder(destination, dataset), TAKEDOWNS))
    return {one for uri in files for one in storage.read_json(uri)["ids"]}


def find_ids(folder: str, files: Sequence[FileEntry], ids: Collection[str]) -> list[str]:
    """Return which of `ids` the data files in a version's folder hold, sorted; reads a row group at a time."""
    wanted = np.sort(np.array([xxhash.xxh3_64_intdigest(one.encode()) for one in ids], np.uint64).view(np.int64))
    found: set[str] = set()
    for entry in files:
        uri = storage.join(folder, entry.path)
        for number, group in enumerate(read_groups(uri, ["ek_identity"])):
            places = np.flatnonzero(np.isin(group["ek_identity"].to_numpy(), wanted))
            if len(places):
                found |= set(read_group(uri, number, ["ek_id"])["ek_id"].take(places).to_pylist())
    return sorted(found & set(ids))
