"""The manifest of a version: what it holds, where it came from, and the SHA-256 of every file."""

import getpass
import hashlib
import importlib.metadata
import json
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError
from evenkeel.tasks.publish.redact import redacted

FORMAT = 1
PACKAGES = ("dask", "numba", "numpy", "pandas", "pyarrow", "pyiceberg", "scikit-learn", "cudf-cu13", "cuml-cu13")


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

    run: name of the version's folder. content_key: equal for equal rows and dispositions, whatever run wrote them.
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
    """`manifest.json`: what a version holds and how it was made. The catalog has the SHA-256 of the file itself.

    It says nothing that changes after the version is published: tags, and which version is current, are in the catalog.
    """

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
    metrics: dict[str, object] = Field(default_factory=dict)
    code_version: str
    packages: dict[str, str]
    document: dict[str, Any] = Field(default_factory=dict)

    @property
    def held_out(self) -> dict[str, float]:
        """Evenness over stable partitions by stage, {} where it was not measured or rows went since."""
        facts = self.document.get("steps", {}).get("report", {}).get("facts", {})
        return dict(facts.get("held_out", {}))

    def encode(self) -> bytes:
        """Return the bytes of `manifest.json`."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def read_checked(uri: str, sha256: str) -> Manifest:
    """Return the manifest at `uri`. Raises StorageError where it is gone, altered or from a newer Evenkeel."""
    try:
        data = storage.read_bytes(uri)
    except FileNotFoundError:
        raise StorageError("the manifest is missing", where=uri, remedy="restore it from a backup") from None
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise StorageError(
            "the manifest was altered after it was published",
            expected=f"sha256 {sha256}",
            found=f"sha256 {found}",
            where=uri,
            remedy="restore it from a backup, or publish anew",
        )
    manifest = Manifest.model_validate_json(data)
    if manifest.format > FORMAT:
        raise StorageError("the manifest is of a newer Evenkeel", where=uri, remedy="upgrade Evenkeel")
    return manifest


def content_key(files: list[FileEntry]) -> str:
    """Return the hex SHA-256 over paths and hashes of the data files and the dispositions."""
    lines = sorted(f"{entry.path}\0{entry.sha256}" for entry in files if entry.path.startswith(("data/", "fates/")))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def hash_document(document: object) -> str:
    """Return the hex SHA-256 of a JSON document, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def make_manifest(
    staged: Staged,
    extras: Sequence[FileEntry],
    document: Mapping[str, object],
    *,
    dataset: str,
    version: int,
    parent: int | None,
) -> Manifest:
    """Return the manifest of version number `version`, made here and now by this user.

    extras: the files beside the staged ones. document: its `recipe`, `seed`, `metrics` and `reason` have fields of
    their own, the recipe without secrets; the rest is kept as it is.
    """
    rest = dict(document)
    recipe = redacted(rest.pop("recipe", {}))
    return Manifest(
        **staged.model_dump(exclude={"files"}),
        files=[*staged.files, *extras],
        dataset=dataset,
        version=version,
        parent=parent,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        created_by=f"{getpass.getuser()}@{socket.gethostname()}",
        reason=rest.pop("reason", "") or "",
        recipe=recipe,
        recipe_hash=hash_document(recipe),
        seed=rest.pop("seed", None),
        metrics=rest.pop("metrics", {}),
        code_version=_installed("evenkeel") or "0",
        packages={name: found for name in PACKAGES if (found := _installed(name))},
        document=rest,
    )


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
