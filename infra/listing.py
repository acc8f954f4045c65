"""List the folders of a store with their sizes and times, by the store's own clock."""

import secrets
from datetime import UTC, datetime
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.infra.writable import is_s3, s3_time

FileInfo: TypeAlias = dict[str, object]


class Folder(BaseModel):
    """A folder of a store: how many files and bytes lie below it, and when the newest of them was written.

    names: of the files that lie in the folder itself.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    files: int
    bytes: int
    touched: datetime
    names: frozenset[str]


def folders(base: str, depth: int = 1) -> list[Folder]:
    """Return every folder that lies `depth` levels below `base`, sorted."""
    parts: dict[str, list[tuple[str, FileInfo]]] = {}
    for path, info in listing(base).items():
        names = path.split("/", depth)
        if len(names) > depth and names[-1]:  # some stores list an emptied folder as a file of no bytes
            parts.setdefault("/".join(names[:depth]), []).append((names[-1], info))
    return [
        Folder(
            uri=storage.join(base, name),
            files=len(files),
            bytes=sum(_bytes(info) for _, info in files),
            touched=max(touched(info) for _, info in files),
            names=frozenset(path for path, _ in files if "/" not in path),
        )
        for name, files in sorted(parts.items())
    ]


def listing(base: str) -> dict[str, FileInfo]:
    """Return the store's information on every file below `base`, by the path from there."""
    fs, path = storage.filesystem(base)
    fs.invalidate_cache()
    found = fs.find(path, detail=True) if fs.exists(path) else {}
    # a folder whose files a store does not list yet is listed itself
    files = {name: info for name, info in found.items() if info.get("type") != "directory"}
    return {name[len(path.rstrip("/")) + 1 :]: info for name, info in files.items()}


def store_time(folder: str, *, write: bool = True) -> datetime:
    """Return the time by the clock of the store, which also dates its files.

    S3 says it with any answer; elsewhere a small file is written and removed. Without `write` nothing is, and this
    machine's clock stands in for that of any store but S3.
    """
    fs, path = storage.filesystem(folder)
    if is_s3(fs):
        return s3_time(fs, path)
    if not write:
        return datetime.now(UTC)
    probe = storage.join(folder, f".clock-{secrets.token_hex(4)}")
    storage.write_bytes(probe, b"evenkeel\n")
    fs, path = storage.filesystem(probe)
    fs.invalidate_cache()
    now = touched(fs.info(path))
    storage.remove(probe)
    return now


def touched(info: FileInfo) -> datetime:
    """Return when a file was last written, by the store's information on it."""
    when = next(info[key] for key in ("LastModified", "mtime", "last_modified", "updated", "created") if info.get(key))
    if isinstance(when, int | float):
        return datetime.fromtimestamp(when, UTC)
    moment = when if isinstance(when, datetime) else datetime.fromisoformat(str(when))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bytes(info: FileInfo) -> int:
    size = info["size"]
    return size if isinstance(size, int) else int(str(size))
