"""Make a staged version visible: audit, then one catalog commit. Readers see the old version or the new, whole."""

import getpass
import importlib.metadata
import random
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from evenkeel.infra import storage
from evenkeel.infra.catalog import ANSWERS, first_line
from evenkeel.infra.errors import CommitStateUnknown, InputError, PublishConflict, RecipeError, StorageError
from evenkeel.infra.tables import read_schema
from evenkeel.infra.workspace import DONE, StepRef
from evenkeel.tasks.publish import commit
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.exclusions import excluded_ids, find_ids
from evenkeel.tasks.publish.footers import read_footers
from evenkeel.tasks.publish.layout import BLOCKED, MANIFEST, OURS, PRUNED, copy_hashed, dataset_folder
from evenkeel.tasks.publish.manifest import FileEntry, Manifest, Staged, hash_document, public
from evenkeel.tasks.publish.staging.step import read_staged
from evenkeel.tasks.publish.table import HIGHEST_PROPERTY, Version, dataset_table, home, is_home, versions

CONFLICT_SECONDS = 120.0
PACKAGES = ("dask", "numba", "numpy", "pandas", "pyarrow", "pyiceberg", "scikit-learn", "cudf-cu13", "cuml-cu13")
CATALOG_ERRORS = (*ANSWERS, OSError)


class PublishResult(BaseModel):
    """What publishing came to. location: the version's folder; data: its Parquet files; previous: the one before."""

    model_config = ConfigDict(frozen=True)

    status: Literal["published", "unchanged"]
    dataset: str
    version: int
    tag: str
    location: str
    data: str
    rows: int
    files: int
    bytes: int
    previous: int | None
    manifest: str


def publish(
    config: DestinationConfig,
    dataset: str,
    staged: StepRef,
    extras: Mapping[str, str | bytes],
    document: Mapping[str, Any],
    workspace: str,
    force: bool = False,
) -> PublishResult:
    """Publish what the STAGE step left as the next version, or say that nothing has changed.

    extras: path in the version's folder -> bytes, or the URI of a file or folder to copy (card, docs, profile).
    document: what the manifest says beyond the files; `recipe`, `seed`, `metrics`, `reason` have their own places.
    force: publish even where the current version holds the same rows and fates.
    Raises PublishConflict where others kept committing first, CommitStateUnknown where the catalog stopped answering
    in the one commit that counts, StorageError where a store or the catalog refuses or staged files are missing.
    """
    return publish_files(config, dataset, read_staged(staged), extras, document, workspace, force=force, ref=staged)


def leave_evidence(config: DestinationConfig, dataset: str, run: str, evidence: Mapping[str, str | bytes]) -> str:
    """Copy card and Data Docs of a run that was blocked to the destination, and return their folder.

    They lie apart from all versions, until a prune removes them. run: a name for the folder. evidence: as `extras` of
    `publish`.
    """
    folder = storage.join(dataset_folder(config.uri, dataset), BLOCKED, run)
    copy_extras(evidence, folder)
    return folder


def publish_files(
    config: DestinationConfig,
    dataset: str,
    staged: Staged,
    extras: Mapping[str, str | bytes],
    document: Mapping[str, Any],
    workspace: str,
    *,
    force: bool = False,
    ref: StepRef | None = None,
) -> PublishResult:
    """Publish files that lie in a version's folder already; see `publish`. ref: the step that made them, if one did."""
    work = _Publication(config, dataset, staged, ref, dict(document))
    with dataset_table(config, dataset, workspace, create=True) as table:
        until = time.monotonic() + CONFLICT_SECONDS
        for attempt in range(1 << 30):
            try:
                return work.attempt(table, extras, force)
            except CommitFailedException as error:
                if time.monotonic() > until:
                    raise PublishConflict(
                        f"others kept publishing {dataset!r} for {CONFLICT_SECONDS:.0f} s",
                        found=str(error),
                        where=home(table),
                        remedy="nothing was lost and nothing became visible: run again",
                    ) from error
            time.sleep(random.uniform(0, min(0.05 * 2 ** min(attempt, 6), 2.0)))
            table.refresh()
    raise AssertionError


class _Publication:
    """One publication: what is the same in all its attempts."""

    def __init__(
        self, config: DestinationConfig, dataset: str, staged: Staged, ref: StepRef | None, document: dict[str, Any]
    ) -> None:
        self.config, self.dataset, self.staged, self.ref, self.document = config, dataset, staged, ref, document
        self.extras: list[FileEntry] | None = None
        self.footers: list[Any] | None = None

    def attempt(self, table: Table, extras: Mapping[str, str | bytes], force: bool) -> PublishResult:
        known = versions(table)
        current = next((version for version in known if version.current), None)
        mine = next((version for version in known if version.location == self.staged.folder), None)
        if mine is not None and self.extras is not None:  # an earlier attempt landed after all
            return _result("published", mine, mine.parent)
        same = mine or (current if current is not None and current.content_key == self.staged.content_key else None)
        if same is not None and not force:
            write_index(table)
            return _result("unchanged", same, same.parent)
        if self.extras is None:
            if mine is not None:
                self.staged = _copy_run(self.staged)
            self.extras = copy_extras(extras, self.staged.folder)
        number = 1 + max(
            [int(table.metadata.properties.get(HIGHEST_PROPERTY, "0")), *(version.version for version in known)]
        )
        facts = self.write_manifest(number, current.version if current is not None else None)
        branch = f"audit-{self.staged.run}"
        files = [(storage.join(self.staged.folder, entry.path), entry.bytes) for entry in self.staged.data]
        with _catalog_errors(table):
            schema = self.read_schema(files[0][0])
            if self.footers is None:
                self.footers = read_footers(table, schema, files)
            commit.register(table, branch, schema, self.footers, facts)
        self.audit()
        try:
            commit.promote(table, branch, number, self.config.tag)
        except CATALOG_ERRORS as error:
            self.look(table, number, error)
        write_index(table)
        version = next(version for version in versions(table) if version.version == number)
        return _result("published", version, version.parent)

    def write_manifest(self, number: int, parent: int | None) -> dict[str, Any]:
        """Write the manifest and return the facts that the catalog keeps beside the snapshot."""
        rest = dict(self.document)
        recipe = public(rest.pop("recipe", {}))
        manifest = Manifest(
            **self.staged.model_dump(exclude={"files"}),
            files=[*self.staged.files, *(self.extras or [])],
            dataset=self.dataset,
            version=number,
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
        written = copy_hashed(manifest.encode(), storage.join(self.staged.folder, MANIFEST))
        kept = ("created", "created_by", "content_key", "recipe_hash", "parent", "metrics", "reason")
        return {
            **{name: getattr(manifest, name) for name in kept},
            "location": self.staged.folder,
            "manifest_sha256": written.sha256,
            "rows": self.staged.counts["kept"],
            "copies": self.staged.counts["copies"],
            "files": len(self.staged.data),
            "bytes": sum(entry.bytes for entry in self.staged.data),
        }

    def read_schema(self, path: str) -> pa.Schema:
        """Return the Arrow schema, with field ids, of the data files."""
        try:
            return read_schema(path)
        except FileNotFoundError:
            self.gone(path)
            raise

    def audit(self) -> None:
        """Check that every file is there in full length, that no prune began to remove them, and no row is excluded."""
        fs, path = storage.filesystem(self.staged.folder)
        fs.invalidate_cache()
        sizes = {name[len(path.rstrip("/")) + 1 :]: info["size"] for name, info in fs.find(path, detail=True).items()}
        if PRUNED in sizes:
            self.gone(storage.join(self.staged.folder, PRUNED))
        for entry in [*self.staged.files, *(self.extras or [])]:
            if sizes.get(entry.path) != entry.bytes:
                self.gone(
                    storage.join(self.staged.folder, entry.path), f"{sizes.get(entry.path)} of {entry.bytes} bytes"
                )

        excluded = excluded_ids(self.config.uri, self.dataset)
        if excluded and (found := find_ids(self.staged.folder, self.staged.data, excluded)):
            raise InputError(
                f"{len(found):,} rows that were taken down would be published again",
                found=", ".join(found[:5]),
                where=self.staged.folder,
                remedy="exclude them from the run: the list is in the dataset's folder `takedowns/`",
            )

    def gone(self, where: str, found: str = "not there") -> None:
        """Forget the staged output, so that the next run stages anew, and say so."""
        if self.ref is not None:
            storage.remove(storage.join(self.ref.uri, DONE))
        raise StorageError(
            "staged files are missing or were removed by a prune",
            where=where,
            found=found,
            remedy="run again: the rows are staged anew from the workspace; nothing became visible",
        )

    def look(self, table: Table, number: int, error: Exception) -> None:
        """Find out whether a commit without an answer happened. Returns where it did.

        Raises CommitFailedException where it surely did not and another attempt is safe.
        """
        for wait in (0.1, 1.0, 3.0):
            time.sleep(wait)
            try:
                table.refresh()
            except CATALOG_ERRORS:
                continue
            if any(version.location == self.staged.folder for version in versions(table)):
                return
            raise CommitFailedException(str(error)) from error
        raise CommitStateUnknown(
            f"the catalog stopped answering while version {number} of {self.dataset!r} was committed",
            found=type(error).__name__,
            where=home(table),
            remedy="look with `evenkeel versions`; running again is safe: a version that did appear is not repeated",
        ) from error


@contextmanager
def _catalog_errors(table: Table) -> Iterator[None]:
    """Turn a catalog that does not answer, before anything became visible, into StorageError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except CATALOG_ERRORS as error:
        raise StorageError(
            "the catalog or the store did not take the audit branch",
            where=home(table),
            found=first_line(error),
            remedy="nothing became visible: run again when it answers",
        ) from error


def copy_extras(extras: Mapping[str, str | bytes], folder: str) -> list[FileEntry]:
    """Copy what lies beside the data into a version's folder and return its manifest entries, sorted by path."""
    entries = []
    for name, source in sorted(extras.items()):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0] in OURS:
            raise RecipeError(
                f"{name!r} is not a place for an extra file of a version", remedy=f"not in {', '.join(OURS)}"
            )
        if isinstance(source, bytes):
            parts: dict[str, str | bytes] = {name: source}
        else:
            below = storage.list_files(source)
            base = _plain(source)
            parts = (
                {name: source}
                if [_plain(uri) for uri in below] == [base]
                else {f"{path}/{_plain(uri)[len(base) + 1 :]}": uri for uri in below}
            )
        for target, part in parts.items():
            out = copy_hashed(part, storage.join(folder, target))
            entries.append(FileEntry(path=target, bytes=out.bytes, sha256=out.sha256))
    return entries


def write_index(table: Table) -> None:
    """Write `versions.json` and Iceberg's version hint: copies for readers without the catalog, the truth."""
    index = [version.model_dump(mode="json", exclude={"metrics"}) for version in versions(table)]
    storage.write_json(storage.join(home(table), "versions.json"), index)
    if is_home(table):
        hint = table.metadata_location.rpartition("/")[2].removesuffix(".metadata.json")
        storage.write_bytes(storage.join(home(table), "metadata", "version-hint.text"), hint.encode())


def _copy_run(staged: Staged) -> Staged:
    """Copy a version's files to a folder of their own, so that no two versions share a file."""
    name = f"{staged.run}-{random.getrandbits(32):08x}"
    folder = storage.join(staged.folder.rpartition("/")[0], name)
    for entry in staged.files:
        copy_hashed(storage.join(staged.folder, entry.path), storage.join(folder, entry.path))
    return staged.model_copy(update={"run": name, "folder": folder})


def _result(status: Literal["published", "unchanged"], version: Version, previous: int | None) -> PublishResult:
    return PublishResult(
        status=status,
        dataset=version.dataset,
        version=version.version,
        tag=f"v{version.version}",
        location=version.location,
        data=version.data,
        rows=version.rows,
        files=version.files,
        bytes=version.bytes,
        previous=previous,
        manifest=version.manifest,
    )


def _plain(uri: str) -> str:
    return storage.filesystem(uri)[1].rstrip("/")


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
