"""The manifest of a version: what it holds, where it came from, and the SHA-256 of every file."""

import hashlib
import json
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 1
PLACES = ("uri", "catalog")


class FileEntry(BaseModel):
    """One file of a version; `path` is relative to the version's folder. rows: of a Parquet file, else None."""

    model_config = ConfigDict(frozen=True)

    path: str
    bytes: int
    sha256: str
    rows: int | None = None


class SourceShard(BaseModel):
    """One shard of the source as it was read."""

    model_config = ConfigDict(frozen=True)

    number: int
    uri: str
    bytes: int
    sha256: str
    rows: int
    quarantined: int
    reason: str = ""


class Staged(BaseModel):
    """What the stage step leaves in the workspace (`staged.json`) for the commit: the files and what they mean.

    run: name of the version's folder. content_key: the same for the same rows and fates, whatever run wrote them.
    """

    run: str
    folder: str
    content_key: str
    payload: Literal["rows", "pointers"]
    columns: dict[str, str]
    groups: list[str]
    levels: int
    centroid_hash: str | None
    counts: dict[str, int]
    shards: list[SourceShard]
    files: list[FileEntry]

    @property
    def data(self) -> list[FileEntry]:
        """The data files, in order."""
        return [entry for entry in self.files if entry.path.startswith("data/")]


class Manifest(Staged):
    """`manifest.json`: everything about a version but its number's fate; its own SHA-256 is in the catalog."""

    format: int = FORMAT
    dataset: str
    version: int
    parent: int | None = None
    created: str
    created_by: str
    reason: str = ""
    recipe: dict[str, Any] = Field(default_factory=dict)
    recipe_hash: str
    seed: int | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    code_version: str
    packages: dict[str, str]
    document: dict[str, Any] = Field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the bytes of `manifest.json`."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def content_key(files: list[FileEntry]) -> str:
    """Return the hex SHA-256 over paths and hashes of the data and fate files."""
    lines = sorted(f"{entry.path}\0{entry.sha256}" for entry in files if entry.path.startswith(("data/", "fates/")))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def hash_document(document: Any) -> str:
    """Return the hex SHA-256 of a JSON document, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def without_secrets(uri: str) -> str:
    """Return `uri` without user, password and query, which may sign a request."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def public(document: Any) -> Any:
    """Return a recipe's plain document with every `uri` and `catalog` in it freed of secrets."""
    if isinstance(document, dict):
        return {name: _public_place(value) if name in PLACES else public(value) for name, value in document.items()}
    return [public(value) for value in document] if isinstance(document, list) else document


def _public_place(value: Any) -> Any:
    if isinstance(value, list):
        return [_public_place(one) for one in value]
    return without_secrets(value) if isinstance(value, str) else public(value)
