"""What lies in a folder of a store, and when it was written, by the store's own clock."""

import secrets
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage


class Folder(BaseModel):
    """A folder: what its files come to, when the newest was written, and the names of those right in it."""

    model_config = ConfigDict(frozen=True)

    uri: str
    files: int
    bytes: int
    touched: datetime
    names: frozenset[str]


def folders(base: str, depth: int = 1) -> list[Folder]:
    """Return every folder that lies `depth` levels below `base`, with all that is in it, sorted."""
    parts: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for path, info in listing(base).items():
        names = path.split("/", depth)
        if len(names) > depth and names[-1]:  # some stores list an emptied folder as a file of no bytes
            parts.setdefault("/".join(names[:depth]), []).append((names[-1], info))
    return [
        Folder(
            uri=storage.join(base, name),
            files=len(files),
            bytes=sum(info["size"] for _, info in files),
            touched=max(touched(info) for _, info in files),
            names=frozenset(path for path, _ in files if "/" not in path),
        )
        for name, files in sorted(parts.items())
    ]


def listing(base: str) -> dict[str, dict[str, Any]]:
    """Return what the store says of every file below `base`, by the path from there."""
    fs, path = storage.filesystem(base)
    fs.invalidate_cache()
    found = fs.find(path, detail=True) if fs.exists(path) else {}
    return {name[len(path.rstrip("/")) + 1 :]: info for name, info in found.items()}


def store_time(folder: str) -> datetime:
    """Return what time it is by the clock of the store, which also dates the files; writes and removes a probe."""
    probe = storage.join(folder, f".clock-{secrets.token_hex(4)}")
    storage.write_bytes(probe, b"evenkeel\n")
    fs, path = storage.filesystem(probe)
    fs.invalidate_cache()
    now = touched(fs.info(path))
    storage.remove(probe)
    return now


def touched(info: dict[str, Any]) -> datetime:
    """Return when the store says that a file was last written."""
    when = next(info[key] for key in ("LastModified", "mtime", "last_modified", "updated", "created") if info.get(key))
    if isinstance(when, int | float):
        return datetime.fromtimestamp(when, UTC)
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    moment: datetime = when
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
