"""Fingerprints of shards: their sizes and what their store knows of their content, by which a changed one is found."""

import os

from evenkeel.infra import storage
from evenkeel.tasks.ingest.listing import ListedShard

_FINGERPRINTS = (
    "ETag",
    "etag",
    "md5Hash",
    "content_md5",
    "checksum",
    "mtime",
    "LastModified",
    "last_modified",
    "created",
)


def fingerprint_of(uri: str, *, anew: bool = False) -> tuple[int, str]:
    """Return the size of a file and its fingerprint: the ETag, checksum or time of change that its store reports.

    anew: the store is asked, also where it has been listed.
    """
    fs, path = storage.filesystem(uri)
    if storage.is_local(uri):
        status = os.stat(path)
        return status.st_size, str(status.st_mtime_ns)
    if anew:
        fs.invalidate_cache(path)
    with storage.store_errors("inspect", uri):
        info = fs.info(path)
    return int(info.get("size") or 0), next((str(info[key]) for key in _FINGERPRINTS if info.get(key)), "")


def shard_fingerprint(shard: ListedShard) -> str:
    """Return size and fingerprint of a shard, and of the file with its ids where it has one, as one text."""
    return ":".join(map(str, (shard.bytes, shard.fingerprint, shard.ids_fingerprint))).rstrip(":")
