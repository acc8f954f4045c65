"""The two commits of a publication: data files on an audit branch, then one that makes them the current version."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

import pyarrow as pa
from pydantic import PrivateAttr
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import parquet_file_to_data_file, pyarrow_to_schema
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.update import (
    AddSchemaUpdate,
    AssertRefSnapshotId,
    RemoveSnapshotRefUpdate,
    SetCurrentSchemaUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableRequirement,
    TableUpdate,
    ValidatableTableRequirement,
)
from pyiceberg.types import DateType, TimestampType, TimestamptzType
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from evenkeel.infra.catalog import first_line
from evenkeel.infra.errors import PublishConflict, StorageError
from evenkeel.tasks.publish.marker import HIGHEST_PROPERTY
from evenkeel.tasks.publish.table import FACTS_KEY, VersionFacts, home

CONFLICT_SECONDS = 120.0
FOOTERS_AT_ONCE = 16
TIMES = (DateType, TimestampType, TimestamptzType)

Result = TypeVar("Result")


class AssertUnchanged(ValidatableTableRequirement):
    """The table is still what it was when this commit was prepared: same snapshots, names, schemas and properties.

    Checked where PyIceberg itself checks requirements (SQL, Glue, Hive, ...); a REST server has its own.
    """

    type: Literal["assert-unchanged"] = "assert-unchanged"
    _expected: tuple[object, ...] = PrivateAttr()

    @classmethod
    def of(cls, metadata: TableMetadata) -> "AssertUnchanged":
        """Return the requirement that the table is still what `metadata` says."""
        requirement = cls()
        requirement._expected = _state(metadata)
        return requirement

    def validate(self, base_metadata: TableMetadata) -> None:  # type: ignore[override]
        """Raise CommitFailedException where another commit came between."""
        if _state(base_metadata) != self._expected:
            raise CommitFailedException("another commit came between")


def _state(metadata: TableMetadata) -> tuple[object, ...]:
    snapshots = [snapshot.snapshot_id for snapshot in metadata.snapshots]
    schemas = [schema.schema_id for schema in metadata.schemas]
    return snapshots, dict(metadata.refs), schemas, metadata.current_schema_id, dict(metadata.properties)


class _Transaction(Transaction):
    """A transaction that copies the metadata once an update, not once a read: a thousand versions are a megabyte."""

    _seen: tuple[TableUpdate, ...] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The metadata with all staged updates; not to be changed."""
        if self._seen is not self._updates:
            self._seen, self._metadata = self._updates, super().table_metadata
        return self._metadata


def begin(table: Table) -> Transaction:
    """Return a transaction that fails, changing nothing, if another commit comes first."""
    transaction = _Transaction(table)
    if not isinstance(table.catalog, RestCatalog):
        transaction._stage((), (AssertUnchanged.of(table.metadata),))  # type: ignore[arg-type]
    return transaction


def retried(table: Table, once: Callable[[], Result]) -> Result:
    """Return `once()`, tried again on fresh metadata for two minutes where others commit first.

    Raises PublishConflict when the time is up, StorageError where the store does not let this process write.
    """

    def refresh(state: RetryCallState) -> None:
        if state.attempt_number > 1:
            table.refresh()

    attempts = Retrying(
        retry=retry_if_exception_type(CommitFailedException),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_after_delay(CONFLICT_SECONDS),
        before=refresh,
        reraise=True,
    )
    try:
        return attempts(once)
    except PermissionError as error:
        raise StorageError(
            f"not allowed to write what is to be committed to {table.name()[-1]!r}",
            found=str(error),
            where=home(table),
            remedy="nothing was changed: check the credentials of the process that runs this",
        ) from error
    except CommitFailedException as error:
        raise PublishConflict(
            f"others kept committing to {table.name()[-1]!r} for {CONFLICT_SECONDS:.0f} s",
            found=str(error),
            where=home(table),
            remedy="nothing was lost and nothing was changed: run again",
        ) from error


def iceberg_schema(schema: pa.Schema, number: int) -> Schema:
    """Return an Arrow schema with field ids as Iceberg's, under this number."""
    return Schema(*pyarrow_to_schema(schema).fields, schema_id=number)


def read_footers(table: Table, schema: pa.Schema, files: Sequence[str]) -> list[DataFile]:
    """Return what the catalog records of data files with this schema: counts, sizes and bounds of every column."""
    metadata = table.metadata.model_copy(update={"schemas": [iceberg_schema(schema, 0)], "current_schema_id": 0})
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        return list(pool.map(lambda uri: _read_footer(table, metadata, uri), files))


def _read_footer(table: Table, metadata: TableMetadata, uri: str) -> DataFile:
    """Return what is recorded of a file: no bounds of times beyond the year 9999, which Python cannot hold."""
    try:
        return parquet_file_to_data_file(table.io, metadata, uri)
    except (OverflowError, ValueError):
        times = [item.name for item in metadata.schema().fields if isinstance(item.field_type, TIMES)]
        counts = {f"write.metadata.metrics.column.{name}": "counts" for name in times}
        unbounded = metadata.model_copy(update={"properties": {**metadata.properties, **counts}})
        return parquet_file_to_data_file(table.io, unbounded, uri)


def register(table: Table, branch: str, schema: pa.Schema, files: list[DataFile], facts: VersionFacts) -> int:
    """Commit data files on an audit branch, which no reader reads, and return the id of their snapshot.

    A branch of that name that a killed attempt left is replaced. The table's current schema stays what it was, so that
    readers of the current version see no column of the coming one. Raises CommitFailedException where others commit.
    """
    if branch in table.metadata.refs:
        drop_branch(table, branch)
    transaction = begin(table)
    before = table.metadata.current_schema_id
    number = _use_schema(transaction, schema)
    with transaction._append_snapshot_producer({FACTS_KEY: facts.model_dump_json()}, branch=branch) as append:
        for file in files:
            append.append_data_file(file)
    if number != before:
        transaction._stage((SetCurrentSchemaUpdate(schema_id=before),))
    _send(transaction, table)
    written = table.metadata.snapshot_by_id(table.metadata.refs[branch].snapshot_id)
    assert written is not None
    # A REST server numbers schemas itself.
    if table.schemas()[written.schema_id or 0].fields != iceberg_schema(schema, 0).fields:
        raise CommitFailedException("another schema was added at the same time")
    return written.snapshot_id


def make_visible(
    table: Table, branch: str, version: int, names: Sequence[str], more: tuple[TableUpdate, ...] = ()
) -> None:
    """In one commit: tag the audited snapshot `v<version>`, let `names` mean it too, drop the branch, and do `more`.

    names: those that follow the current version, "main" among them; none where the version lies beside a held one.
    A REST server is asked again whether it kept the commit: some take two at once and forget one.
    """
    snapshot = table.metadata.refs[branch].snapshot_id
    updates, requirements = point(table, snapshot, [f"v{version}", *names])
    updates += (RemoveSnapshotRefUpdate(ref_name=branch), SetPropertiesUpdate(updates={HIGHEST_PROPERTY: str(version)}))
    updates += more
    apply(table, updates, (*requirements, stays(table, branch)))
    if isinstance(table.catalog, RestCatalog):
        held = table.refresh().metadata.refs.get(f"v{version}")
        if held is None or held.snapshot_id != snapshot:
            raise CommitFailedException("the catalog took the commit, but kept another one")


def ensure_root(table: Table) -> None:
    """Commit an empty snapshot to a table without any: Iceberg's branches need one to start from."""
    while not table.metadata.snapshots:
        try:
            with table.transaction() as transaction, transaction.update_snapshot().fast_append():
                pass
        except CommitFailedException:
            table.refresh()


def drop_branch(table: Table, branch: str) -> None:
    """Drop an audit branch."""
    apply(table, (RemoveSnapshotRefUpdate(ref_name=branch),), (stays(table, branch),))


def name_version(table: Table, branch: str, version: int, tags: list[str], more: tuple[TableUpdate, ...] = ()) -> None:
    """In one commit: tag the audited snapshot `v<version>` and with `tags`, drop its branch, do `more`; not current."""
    updates, requirements = point(table, table.metadata.refs[branch].snapshot_id, [f"v{version}", *tags])
    updates += (RemoveSnapshotRefUpdate(ref_name=branch), *more)
    apply(table, updates, (*requirements, stays(table, branch)))


def apply(table: Table, updates: tuple[TableUpdate, ...], requirements: tuple[TableRequirement, ...]) -> None:
    """Commit `updates` at once, or raise CommitFailedException where another commit came first."""
    transaction = begin(table)
    transaction._stage(updates, requirements)
    _send(transaction, table)


def _send(transaction: Transaction, table: Table) -> None:
    """Commit; raise StorageError where the store does not let this process write."""
    try:
        transaction.commit_transaction()
    except PermissionError as error:
        raise StorageError(
            f"not allowed to write {home(table)}",
            found=first_line(error),
            remedy="check the permissions and credentials of the process that runs this; nothing was changed",
        ) from error


def point(
    table: Table, snapshot: int, names: list[str]
) -> tuple[tuple[TableUpdate, ...], tuple[TableRequirement, ...]]:
    """Return the updates that let `names` (tags, or "main") mean `snapshot`, and the requirement that they stand still.

    Where "main" moves, the current schema becomes the snapshot's.
    """
    updates: list[TableUpdate] = []
    for name in names:
        kind = SnapshotRefType.BRANCH if name == "main" else SnapshotRefType.TAG
        updates.append(
            SetSnapshotRefUpdate(
                ref_name=name,
                type=kind.value,
                snapshot_id=snapshot,
                max_ref_age_ms=None,
                max_snapshot_age_ms=None,
                min_snapshots_to_keep=None,
            )
        )
    held = table.metadata.snapshot_by_id(snapshot)
    if "main" in names and held is not None and held.schema_id not in (None, table.metadata.current_schema_id):
        updates.append(SetCurrentSchemaUpdate(schema_id=held.schema_id))
    return tuple(updates), tuple(stays(table, name) for name in names)


def stays(table: Table, name: str) -> AssertRefSnapshotId:
    """Return the requirement that the name `name` still means what it means now."""
    held = table.metadata.refs.get(name)
    return AssertRefSnapshotId(ref=name, snapshot_id=held.snapshot_id if held is not None else None)


def _use_schema(transaction: Transaction, schema: pa.Schema) -> int:
    """Stage `schema` as the current one, adding it where the table does not know it yet, and return its number."""
    metadata = transaction.table_metadata
    fields = iceberg_schema(schema, 0).fields
    known = next((other.schema_id for other in metadata.schemas if other.fields == fields), None)
    number = known if known is not None else 1 + max(other.schema_id for other in metadata.schemas)
    if known is None:
        transaction._stage((AddSchemaUpdate(schema_=iceberg_schema(schema, number)),))
    if number != metadata.current_schema_id:
        transaction._stage((SetCurrentSchemaUpdate(schema_id=number),))
    return number
