"""The feedback of a dataset: an Iceberg table beside its versions that is only ever added to."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
)
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import DoubleType, LongType, NestedField, StringType, TimestamptzType
from sqlalchemy.exc import IntegrityError

from evenkeel.infra import storage
from evenkeel.infra.catalog import answering
from evenkeel.infra.errors import VersionNotFound
from evenkeel.infra.tables import write_table
from evenkeel.tasks.feedback.score import Score
from evenkeel.tasks.publish import commit
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.folder import METADATA, metadata_files, read_metadata, same_place
from evenkeel.tasks.publish.opening import PROPERTIES, dataset_table
from evenkeel.tasks.publish.table import Version, find, home
from evenkeel.tasks.publish.trail import user

FOLDER, EXAMPLES = "feedback", "examples"
NAMESPACE = "evenkeel_feedback"
EVERYTHING, NO_EXAMPLES = AlwaysTrue(), "example == ''"
COLUMNS = Schema(
    NestedField(1, "when", TimestamptzType(), required=True),
    NestedField(2, "who", StringType(), required=True),
    NestedField(3, "trainer", StringType(), required=True),
    NestedField(4, "version", LongType(), required=True),
    NestedField(5, "trial", StringType(), required=True),
    NestedField(6, "metric", StringType(), required=True),
    NestedField(7, "domain", StringType(), required=True),
    NestedField(8, "example", StringType(), required=True),
    NestedField(9, "value", DoubleType(), required=True),
    NestedField(10, "error", DoubleType()),
    NestedField(11, "rows_seen", LongType()),
    NestedField(12, "cost", DoubleType()),
)


class Reported(NamedTuple):
    """A score as it was recorded. when: ISO 8601, UTC. trial: the name of the trial, empty for other versions."""

    when: str
    who: str
    trainer: str
    version: int
    trial: str
    score: Score


@contextmanager
def feedback_table(config: DestinationConfig, dataset: str, workspace: str) -> Iterator[tuple[Table, Table]]:
    """Open the table of a dataset and that of its feedback, which is made where there is none.

    Raises VersionNotFound where nothing is published, and what `dataset_table` raises.
    """
    with dataset_table(config, dataset, workspace) as versions, answering(home(versions)):
        catalog, folder = versions.catalog, storage.join(home(versions), FOLDER)
        yield versions, _load(catalog, dataset, folder) or _create(catalog, dataset, folder)


def read_feedback(config: DestinationConfig, dataset: str, workspace: str, *, examples: bool = False) -> list[Reported]:
    """Return what was reported, oldest first; without values of single examples unless they are asked for.

    Empty where nothing was reported or published; nothing is written.
    """
    try:
        with dataset_table(config, dataset, workspace) as versions, answering(home(versions)):
            table = _load(versions.catalog, dataset, storage.join(home(versions), FOLDER))
            return [] if table is None else rows_of(table, EVERYTHING if examples else NO_EXAMPLES)
    except VersionNotFound:
        return []


def rows_of(table: Table, which: str | BooleanExpression) -> list[Reported]:
    """Return rows of an open table, oldest first."""
    if table.current_snapshot() is None:
        return []
    found = table.scan(row_filter=which).to_arrow().to_pylist()
    made = [
        Reported(
            row["when"].astimezone(UTC).isoformat(timespec="microseconds"),
            row["who"],
            row["trainer"],
            row["version"],
            row["trial"],
            Score.model_construct(
                metric=row["metric"],
                value=row["value"],
                domain=row["domain"],
                example=row["example"],
                error=row["error"],
                rows=row["rows_seen"],
                cost=row["cost"],
            ),
        )
        for row in found
    ]
    return sorted(made, key=lambda one: (one.when, one.version, one.score.part, one.score.domain, one.score.metric))


def append(table: Table, version: Version, trial: str, trainer: str, scores: Sequence[Score]) -> None:
    """Add the scores of a version in one commit. Raises CommitFailedException where another report came first."""
    count, now = len(scores), datetime.now(UTC)
    columns = {
        "when": [now] * count,
        "who": [user()] * count,
        "trainer": [trainer] * count,
        "version": [version.version] * count,
        "trial": [trial] * count,
        "metric": [one.metric for one in scores],
        "domain": [one.domain for one in scores],
        "example": [one.example for one in scores],
        "value": [one.value for one in scores],
        "error": [one.error for one in scores],
        "rows_seen": [one.rows for one in scores],
        "cost": [one.cost for one in scores],
    }
    place = storage.join(table.location(), "data", f"v{version.version}-{secrets.token_hex(8)}.parquet")
    write_table(place, pa.table(columns, schema=table.schema().as_arrow()))
    try:
        file = parquet_file_to_data_file(table.io, table.metadata, place)
        with table.transaction() as transaction, transaction.update_snapshot().fast_append() as added:
            added.append_data_file(file)
    except CommitFailedException:
        storage.remove(place)
        raise


def write_examples(table: Table, metric: str) -> str:
    """Write the newest value of each example beside the table, for a joined signal: columns id and value.

    A copy of what the table says; returns its place, `<dataset>/feedback/examples/<metric>.parquet`.
    """
    rows = table.scan(row_filter=f"metric == '{metric}'", selected_fields=("when", "example", "value")).to_arrow()
    rows = rows.filter(pc.not_equal(rows["example"], "")).sort_by([("when", "descending")])
    rows = rows.select(["example", "value"]).rename_columns(["id", "value"])
    newest = rows.group_by("id", use_threads=False).aggregate([("value", "first")])
    place = storage.join(table.location(), EXAMPLES, f"{metric}.parquet")
    write_table(place, pa.table({"id": newest["id"], "value": newest["value_first"]}).sort_by("id"))
    return place


def version_of(versions: Table, ref: str | int) -> Version:
    """Return the version that is reported of. Raises VersionNotFound, naming what there is."""
    return find(versions, ref)


def _load(catalog: Catalog, dataset: str, folder: str) -> Table | None:
    """Return the table; one that lies in the folder and that the catalog lost is registered again."""
    try:
        return catalog.load_table((NAMESPACE, dataset))
    except (NoSuchTableError, NoSuchNamespaceError):
        pass
    known = metadata_files(folder) if storage.exists(storage.join(folder, METADATA)) else []
    found = read_metadata(known[0]) if known else None
    if found is None or not same_place(found.location, folder):  # none yet, or a copy's: that begins its own
        return None
    _make_namespace(catalog)
    with suppress(TableAlreadyExistsError, IntegrityError):
        catalog.register_table((NAMESPACE, dataset), known[0])
    return catalog.load_table((NAMESPACE, dataset))


def _create(catalog: Catalog, dataset: str, folder: str) -> Table:
    _make_namespace(catalog)
    properties = {name: value for name, value in PROPERTIES.items() if name.startswith(("commit.", "write."))}
    with suppress(TableAlreadyExistsError, IntegrityError):
        try:
            catalog.create_table((NAMESPACE, dataset), COLUMNS, location=folder, properties=properties)
        except RESTError:  # this catalog keeps tables in a warehouse of its own
            catalog.create_table((NAMESPACE, dataset), COLUMNS, properties=properties)
    return catalog.load_table((NAMESPACE, dataset))


def _make_namespace(catalog: Catalog) -> None:
    with suppress(NamespaceAlreadyExistsError, IntegrityError):
        catalog.create_namespace_if_not_exists((NAMESPACE,))


retried = commit.retried
