"""Make a staged version visible: audit, then one catalog commit. Readers see the old version or the new, whole."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_chain, wait_fixed

from evenkeel.infra import storage
from evenkeel.infra.catalog import ANSWERS, first_line
from evenkeel.infra.errors import CommitStateUnknown, StagedFilesMissing, StorageError
from evenkeel.infra.tables import read_schema
from evenkeel.infra.workspace import DONE, StepRef
from evenkeel.tasks.publish import audit, commit
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.extras import Extras, copy_extras
from evenkeel.tasks.publish.index import write_index
from evenkeel.tasks.publish.layout import MANIFEST, copy_hashed
from evenkeel.tasks.publish.manifest import FileEntry, Staged, make_manifest
from evenkeel.tasks.publish.marker import highest_of, require_still_kept
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.staging.step import read_staged
from evenkeel.tasks.publish.table import Version, VersionFacts, home, versions

CATALOG_ERRORS = (*ANSWERS, OSError)
UNANSWERED = wait_chain(wait_fixed(0.1), wait_fixed(1), wait_fixed(3))


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
    extras: Extras,
    document: Mapping[str, object],
    workspace: str,
    force: bool = False,
) -> PublishResult:
    """Publish what the STAGE step left as the next version, or say that nothing has changed.

    extras: the files beside the rows: card, docs, profile.
    document: what the manifest says beyond the files; `recipe`, `seed`, `metrics`, `reason` have their own places.
    force: publish even where the current version holds the same rows and dispositions.
    Raises PublishConflict where others kept committing first, CommitStateUnknown where the catalog stopped answering
    in the one commit that counts, StorageError where a store or the catalog refuses or staged files are missing.
    """
    try:
        return publish_files(config, dataset, read_staged(staged), extras, document, workspace, force=force)
    except StagedFilesMissing:
        storage.remove(storage.join(staged.uri, DONE))  # so that the next run stages anew
        raise


def publish_files(
    config: DestinationConfig,
    dataset: str,
    staged: Staged,
    extras: Extras,
    document: Mapping[str, object],
    workspace: str,
    *,
    force: bool = False,
) -> PublishResult:
    """Publish files that lie in a version's folder already; see `publish`."""
    publication = _Publication(config, dataset, staged, extras, document)
    with dataset_table(config, dataset, workspace, create=True) as table:
        return commit.retried(table, lambda: publication.attempt(table, force))


class _Publication:
    """One publication: what is the same in all its attempts."""

    def __init__(
        self, config: DestinationConfig, dataset: str, staged: Staged, extras: Extras, document: Mapping[str, object]
    ) -> None:
        self.config, self.dataset, self.staged, self.extras, self.document = config, dataset, staged, extras, document
        self.copied: list[FileEntry] | None = None
        self.footers: list[DataFile] | None = None

    def attempt(self, table: Table, force: bool) -> PublishResult:
        """Publish once. Raises CommitFailedException where another publisher committed first."""
        known = versions(table)
        current = next((version for version in known if version.current), None)
        mine = next((version for version in known if version.location == self.staged.folder), None)
        if mine is not None and self.copied is not None:  # an earlier attempt landed after all
            return _result("published", mine)
        same = mine or (current if current is not None and current.content_key == self.staged.content_key else None)
        if same is not None and not force:
            write_index(table)
            return _result("unchanged", same)
        if self.copied is None:
            if mine is not None or audit.in_trash(self.staged.folder):
                self.staged = _copy_run(self.staged)
            self.copied = copy_extras(self.extras, self.staged.folder)
        number = 1 + max(highest_of(table), *(v.version for v in known), 0)
        self.register(table, self.write_manifest(number, current.version if current is not None else None))
        audit.require_files(self.staged.folder, [*self.staged.files, *self.copied])
        audit.refuse_excluded(self.config.uri, self.dataset, self.staged.folder, self.staged.data)
        require_still_kept(table, home(table))
        try:
            commit.make_current(table, self.branch, number, self.config.tag)
        except CATALOG_ERRORS as error:
            self.require_committed(table, number, error)
        write_index(table)
        return _result("published", next(version for version in versions(table) if version.version == number))

    @property
    def branch(self) -> str:
        """The name of the audit branch, which no reader reads."""
        return f"audit-{self.staged.run}"

    def write_manifest(self, number: int, parent: int | None) -> VersionFacts:
        """Write the manifest and return the facts that the catalog keeps beside the snapshot."""
        manifest = make_manifest(
            self.staged, self.copied or [], self.document, dataset=self.dataset, version=number, parent=parent
        )
        written = copy_hashed(manifest.encode(), storage.join(self.staged.folder, MANIFEST))
        return VersionFacts(
            created=manifest.created,
            created_by=manifest.created_by,
            rows=manifest.counts["kept"],
            copies=manifest.counts["copies"],
            files=len(manifest.data),
            bytes=sum(entry.bytes for entry in manifest.data),
            location=manifest.folder,
            manifest_sha256=written.sha256,
            content_key=manifest.content_key,
            recipe_hash=manifest.recipe_hash,
            parent=parent,
            metrics=manifest.metrics,
            reason=manifest.reason,
        )

    def register(self, table: Table, facts: VersionFacts) -> None:
        """Commit the data files on the audit branch. Raises StorageError where the catalog or the store refuses."""
        files = [storage.join(self.staged.folder, entry.path) for entry in self.staged.data]
        with _catalog_errors(table):
            schema = _read_schema(files[0])
            if self.footers is None:
                self.footers = commit.read_footers(table, schema, files)
            commit.register(table, self.branch, schema, self.footers, facts)

    def require_committed(self, table: Table, number: int, error: Exception) -> None:
        """Find out whether a commit without an answer happened, and return where it did.

        Raises CommitFailedException where it surely did not and another attempt is safe, CommitStateUnknown where the
        catalog stays silent.
        """
        attempts = Retrying(retry=retry_if_exception_type(CATALOG_ERRORS), wait=UNANSWERED, stop=stop_after_attempt(4))
        try:
            attempts(table.refresh)
        except RetryError:
            raise CommitStateUnknown(
                f"the catalog stopped answering while version {number} of {self.dataset!r} was committed",
                found=type(error).__name__,
                where=home(table),
                remedy="`evenkeel versions` says whether it did; running again is safe: nothing is published twice",
            ) from error
        if not any(version.location == self.staged.folder for version in versions(table)):
            raise CommitFailedException(str(error)) from error


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


def _read_schema(path: str) -> pa.Schema:
    """Return the Arrow schema, with field ids, of a data file. Raises StagedFilesMissing where it is gone."""
    try:
        return read_schema(path)
    except FileNotFoundError:
        raise audit.missing(path, "not there") from None


def _copy_run(staged: Staged) -> Staged:
    """Copy a version's files to a folder of their own, so that no two versions share a file."""
    name = f"{staged.run}-{random.getrandbits(32):08x}"
    folder = storage.join(staged.folder.rpartition("/")[0], name)
    for entry in staged.files:
        try:
            copy_hashed(storage.join(staged.folder, entry.path), storage.join(folder, entry.path))
        except FileNotFoundError:
            raise audit.missing(storage.join(staged.folder, entry.path), "not there") from None
    return staged.model_copy(update={"run": name, "folder": folder})


def _result(status: Literal["published", "unchanged"], version: Version) -> PublishResult:
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
        previous=version.parent,
        manifest=version.manifest,
    )
