"""What tells that a shard has changed: its size, and what its store knows of its content."""

import os

from evenkeel.infra import storage
from evenkeel.tasks.ingest.config import ShardStamp

_STAMPS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "mtime", "LastModified", "last_modified", "created")


def stamp_of(uri: str) -> tuple[int, str]:
    """Return the size of a file and what its store knows of its content: ETag, checksum or time of change."""
    fs, path = storage.filesystem(uri)
    if storage.is_local(uri):
        status = os.stat(path)
        return status.st_size, str(status.st_mtime_ns)
    with storage.store_errors("look at", uri):
        info = fs.info(path)
    return int(info.get("size") or 0), next((str(info[key]) for key in _STAMPS if info.get(key)), "")


def whole_stamp(shard: ShardStamp) -> str:
    """Return size and stamp of a shard, and of the file with its ids where it has one: what tells a changed one."""
    return ":".join(map(str, (shard.bytes, shard.stamp, shard.ids_stamp))).rstrip(":")
