"""Make a staged version visible: audit, then one catalog commit. Readers see the old version or the new, whole."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.update import TableUpdate
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_chain, wait_fixed

from evenkeel.infra import storage
from evenkeel.infra.catalog import ANSWERS, first_line
from evenkeel.infra.errors import CommitStateUnknown, StagedFilesMissing, StorageError
from evenkeel.infra.tables import read_schema
from evenkeel.infra.workspace import DONE, StepRef
from evenkeel.tasks.publish import audit, commit, trail
from evenkeel.tasks.publish.config import DestinationConfig, trial_of
from evenkeel.tasks.publish.copying import copy_run
from evenkeel.tasks.publish.extras import DrawExtras, Extras, copy_extras
from evenkeel.tasks.publish.index import write_index
from evenkeel.tasks.publish.layout import MANIFEST, copy_hashed
from evenkeel.tasks.publish.manifest import FileEntry, Staged, make_manifest
from evenkeel.tasks.publish.marker import highest_of, require_still_kept
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.staging.step import read_staged
from evenkeel.tasks.publish.table import Version, VersionFacts, home, versions

CATALOG_ERRORS = (*ANSWERS, OSError)
UNANSWERED = wait_chain(wait_fixed(0.1), wait_fixed(1), wait_fixed(3))


Status = Literal["published", "unchanged", "beside", "reinstated"]


class PublishResult(BaseModel):
    """What publishing came to.

    status: `published`; `unchanged`, where a version holds these rows already; `beside`, where another version is held
    as the current one; `reinstated`, where a version that was rolled back from holds these rows and nobody holds the
    current one any more. location: the version's folder; data: its Parquet files; previous: the version before it. who:
    published it, or made it current again, and reason: why. held: what is held as the current version, if any is.
    """

    model_config = ConfigDict(frozen=True)

    status: Status
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
    reason: str = ""
    who: str = ""
    held: trail.Hold | None = None


def publish(
    config: DestinationConfig,
    dataset: str,
    staged: StepRef,
    extras: Extras | DrawExtras,
    document: Mapping[str, object],
    workspace: str,
    force: bool = False,
    trial: str = "",
) -> PublishResult:
    """Publish what the STAGE step left as the next version, or say that nothing has changed.

    extras: the files beside the rows: card, docs, profile; or a function that draws them once the number is known.
    document: what the manifest says beyond the files; `recipe`, `seed`, `metrics`, `reason` have their own places.
    force: publish even where the current version holds the same rows and dispositions.
    trial: publish as the trial of this name, which never becomes current; found where it is there already.
    Raises PublishConflict where others kept committing first, CommitStateUnknown where the catalog stopped answering
    in the one commit that counts, StorageError where a store or the catalog refuses or staged files are missing.
    """
    try:
        return publish_files(
            config, dataset, read_staged(staged), extras, document, workspace, force=force, trial=trial
        )
    except StagedFilesMissing:
        storage.remove(storage.join(staged.uri, DONE))  # so that the next run stages anew
        raise


def publish_files(
    config: DestinationConfig,
    dataset: str,
    staged: Staged,
    extras: Extras | DrawExtras,
    document: Mapping[str, object],
    workspace: str,
    *,
    force: bool = False,
    replace: bool = False,
    trial: str = "",
) -> PublishResult:
    """Publish files that lie in a version's folder already; see `publish`.

    replace: take the place of the current version even where it is held; the hold moves to the new one.
    """
    publication = _Publication(config, dataset, staged, extras, document, replace, trial)
    with dataset_table(config, dataset, workspace, create=True) as table:
        return commit.retried(table, lambda: publication.attempt(table, force))


class _Publication:
    """One publication: what is the same in all its attempts."""

    def __init__(
        self,
        config: DestinationConfig,
        dataset: str,
        staged: Staged,
        extras: Extras | DrawExtras,
        document: Mapping[str, object],
        replace: bool = False,
        trial: str = "",
    ) -> None:
        self.config, self.dataset, self.staged, self.document = config, dataset, staged, document
        self.replace, self.trial = replace, trial
        self.draw: DrawExtras = extras if callable(extras) else lambda *_: extras
        self.copied: list[FileEntry] | None = None
        self.drawn_for = 0
        self.footers: list[DataFile] | None = None

    def attempt(self, table: Table, force: bool) -> PublishResult:
        """Publish once. Raises CommitFailedException where another publisher committed first."""
        known = versions(table)
        current = next((version for version in known if version.current), None)
        taken = next((version for version in known if version.location == self.staged.folder), None)
        mine = taken if taken is None or trial_of(taken.tags) == self.trial else None
        held = trail.read_hold(table.metadata)
        beside = bool(self.trial) or (held is not None and not self.replace)
        if mine is not None and self.copied is not None:  # an earlier attempt landed after all
            return _result("beside" if beside else "published", mine, held)
        same = next((one for one in known[::-1] if self.is_of(one, current)), mine)
        if self.trial and same is not None:
            return _result("unchanged", same, held)
        if same is not None and not force:
            return self.found(table, same, current)
        if self.copied is None and (taken is not None or audit.in_trash(self.staged.folder)):
            self.staged = copy_run(self.staged)
        number = 1 + max(highest_of(table), *(v.version for v in known), 0)
        self.copied = self.copy_extras(number)
        self.register(table, self.write_manifest(number, current.version if current is not None else None))
        audit.require_files(self.staged.folder, [*self.staged.files, *self.copied])
        audit.refuse_excluded(self.config.uri, self.dataset, self.staged.folder, self.staged.data)
        require_still_kept(table, home(table))
        try:
            names = [self.trial] if self.trial else [] if beside else self.config.followers
            commit.make_visible(table, self.branch, number, names, self.recorded(table, number, current))
        except CATALOG_ERRORS as error:
            self.require_committed(table, number, error)
        write_index(table)
        made = next(version for version in versions(table) if version.version == number)
        return _result("beside" if beside else "published", made, trail.read_hold(table.metadata))

    def is_of(self, version: Version, current: Version | None) -> bool:
        """Tell whether a version holds these very rows: the current one, or one after it that was rolled back from.

        A trial is that of its name, whatever other version holds the same rows.
        """
        if self.trial or version.is_trial:
            return trial_of(version.tags) == self.trial
        newer = current is None or version.version >= current.version
        return newer and version.content_key == self.staged.content_key

    def found(self, table: Table, same: Version, current: Version | None) -> PublishResult:
        """Return the version that holds these rows already, and make it current where it was rolled back from.

        A held version stays the current one, and so does one that was published after `same`.
        """
        held = trail.read_hold(table.metadata)
        if held is not None or current is None or same.version <= current.version:
            write_index(table)
            return _result("unchanged", same, held)
        one = trail.entry(
            "published", same.version, previous=current.version, reason="its rows came out of a run again"
        )
        updates, requirements = commit.point(table, same.snapshot_id, self.config.followers)
        more = trail.record(table.metadata, one)
        commit.apply(table, (*updates, *more), (*requirements, commit.stays(table, f"v{same.version}")))
        write_index(table)
        told = {"previous": current.version, "reason": one.reason, "who": one.who}
        return _result("reinstated", same, None).model_copy(update=told)

    def recorded(self, table: Table, number: int, current: Version | None) -> tuple[TableUpdate, ...]:
        """Return the updates that record the publication, its approval, and that a hold moves to what replaces it."""
        previous, held = current.version if current is not None else None, trail.read_hold(table.metadata)
        approval = self.document.get("approval")
        entries = [] if approval is None else [trail.entry("approved", number, reason=str(approval))]
        reason = str(self.document.get("reason") or "")
        entries.append(trail.entry("published", number, previous=previous, reason=reason))
        moved = trail.hold(held, number) if held is not None and self.replace else ()
        return (*trail.record(table.metadata, *entries), *moved)

    @property
    def branch(self) -> str:
        """The name of the audit branch, which no reader reads."""
        return f"audit-{self.staged.run}"

    def copy_extras(self, number: int) -> list[FileEntry]:
        """Copy the extras of version `number`, drawn anew where an earlier attempt drew them for another number."""
        if self.copied is None or self.drawn_for != number:
            self.copied, self.drawn_for = copy_extras(self.draw(number, self.staged.folder), self.staged.folder), number
        return self.copied

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
            tier=str(manifest.document.get("tier", {}).get("name", "")),
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


def _result(status: Status, version: Version, held: trail.Hold | None) -> PublishResult:
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
        reason=version.reason,
        who=version.created_by,
        held=held,
    )
