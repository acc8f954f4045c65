"""The Iceberg table of a dataset: one snapshot per version, tagged `vN`; `main` is the current one."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pydantic import BaseModel, ConfigDict
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from sqlalchemy.exc import IntegrityError

from evenkeel.infra import storage
from evenkeel.infra.catalog import NAME, answering, first_line, open_catalog
from evenkeel.infra.errors import RecipeError, StorageError, VersionNotFound
from evenkeel.tasks.publish.config import VERSION_TAG, DestinationConfig
from evenkeel.tasks.publish.layout import MANIFEST, dataset_folder

FORMAT, FORMAT_PROPERTY = 1, "evenkeel.format"
HIGHEST_PROPERTY = "evenkeel.highest-version"
HOME_PROPERTY = "evenkeel.folder"
FACTS_KEY = "evenkeel"
PROPERTIES = {
    FORMAT_PROPERTY: str(FORMAT),
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
}


class VersionFacts(BaseModel):
    """What the catalog keeps beside the snapshot of a version. location: the folder with everything about it."""

    model_config = ConfigDict(frozen=True)

    created: str
    created_by: str
    rows: int
    copies: int
    files: int
    bytes: int
    location: str
    manifest_sha256: str
    content_key: str
    recipe_hash: str
    parent: int | None
    metrics: dict[str, object]
    reason: str


class Version(VersionFacts):
    """One published version, as the catalog knows it. data: the folder of its Parquet files; tags: its other names."""

    dataset: str
    version: int
    tags: list[str]
    current: bool
    data: str
    snapshot_id: int

    @property
    def manifest(self) -> str:
        """URI of the manifest."""
        return storage.join(self.location, MANIFEST)

    @property
    def profile(self) -> str:
        """URI of the folder with the profile's tables."""
        return storage.join(self.location, "profile")


@contextmanager
def dataset_table(config: DestinationConfig, dataset: str, workspace: str, *, create: bool = False) -> Iterator[Table]:
    """Open the table of a dataset; with `create`, an empty one where there is none.

    Raises VersionNotFound where the dataset has none, RecipeError where it lives elsewhere or is of a newer Evenkeel.
    """
    folder = dataset_folder(config.uri, dataset)
    with open_catalog(config.catalog, workspace) as catalog, answering(config.catalog or workspace):
        table = _load(catalog, dataset, folder) if not create else _load_or_create(catalog, dataset, folder)
        if int(table.metadata.properties.get(FORMAT_PROPERTY, "1")) > FORMAT:
            raise RecipeError(
                f"the versions of {dataset!r} were written by a newer Evenkeel",
                expected=f"format {FORMAT}",
                found=f"format {table.metadata.properties[FORMAT_PROPERTY]}",
                remedy="upgrade Evenkeel on this machine",
            )
        if home(table) != folder:
            raise RecipeError(
                f"dataset {dataset!r} of this catalog is published elsewhere",
                expected=home(table),
                found=folder,
                where="destination.uri",
                remedy="use that destination, another dataset name or another catalog",
            )
        if create:
            _ensure_root(table)
        yield table


def _load(catalog: Catalog, dataset: str, folder: str) -> Table:
    try:
        return catalog.load_table((NAME, dataset))
    except NoSuchTableError:
        raise VersionNotFound(
            f"dataset {dataset!r} has no versions yet", where=folder, remedy="publish one: evenkeel run RECIPE"
        ) from None
    except OSError as error:
        raise StorageError(
            f"cannot read the versions of {dataset!r}",
            found=first_line(error),
            where=folder,
            remedy="check that the store is reachable, and the credentials of the process that runs this",
        ) from error


def _load_or_create(catalog: Catalog, dataset: str, folder: str) -> Table:
    try:
        return _load(catalog, dataset, folder)
    except VersionNotFound:
        pass
    with suppress(NamespaceAlreadyExistsError, IntegrityError):  # where another publisher made it a moment ago
        catalog.create_namespace_if_not_exists((NAME,))
    properties = {**PROPERTIES, HOME_PROPERTY: folder}
    with suppress(TableAlreadyExistsError, IntegrityError):
        try:
            catalog.create_table((NAME, dataset), schema=Schema(), location=folder, properties=properties)
        except RESTError:  # this catalog keeps Iceberg's own files in a warehouse of its own
            catalog.create_table((NAME, dataset), schema=Schema(), properties=properties)
    return _load(catalog, dataset, folder)


def home(table: Table) -> str:
    """Return the dataset's folder in the destination; Iceberg's own files lie there too unless the catalog objects."""
    folder: str = table.metadata.properties.get(HOME_PROPERTY, table.metadata.location)
    return folder.rstrip("/")


def is_home(table: Table) -> bool:
    """Return whether Iceberg's own files lie in the dataset's folder."""
    return table.metadata.location.rstrip("/") == home(table)


def _ensure_root(table: Table) -> None:
    """Commit an empty snapshot to a table without any: Iceberg's branches need one to start from."""
    while not table.metadata.snapshots:
        try:
            with table.transaction() as transaction, transaction.update_snapshot().fast_append():
                pass
        except CommitFailedException:
            table.refresh()


def versions(table: Table) -> list[Version]:
    """Return every version, newest first, from the table's metadata alone: no file of a version is read."""
    current = table.metadata.refs["main"].snapshot_id if "main" in table.metadata.refs else None
    snapshots = {snapshot.snapshot_id: snapshot for snapshot in table.metadata.snapshots}
    tags: dict[int, list[str]] = {}
    numbers: dict[int, int] = {}
    for name, ref in table.metadata.refs.items():
        if re.fullmatch(VERSION_TAG, name):
            numbers[int(name[1:])] = ref.snapshot_id
        elif ref.snapshot_ref_type == "tag":
            tags.setdefault(ref.snapshot_id, []).append(name)
    dataset = table.name()[-1]
    return [
        _version(dataset, number, snapshots[snapshot], sorted(tags.get(snapshot, [])), snapshot == current)
        for number, snapshot in sorted(numbers.items(), reverse=True)
    ]


def _version(dataset: str, number: int, snapshot: Snapshot, tags: list[str], current: bool) -> Version:
    facts = facts_of(snapshot)
    assert facts is not None, f"snapshot {snapshot.snapshot_id} is named v{number} and is none of ours"
    return Version(
        **facts.model_dump(),
        dataset=dataset,
        version=number,
        tags=tags,
        current=current,
        data=storage.join(facts.location, "data"),
        snapshot_id=snapshot.snapshot_id,
    )


def facts_of(snapshot: Snapshot) -> VersionFacts | None:
    """Return what publish wrote beside a snapshot; None where the snapshot is not one of ours."""
    summary = snapshot.summary
    text = summary.additional_properties.get(FACTS_KEY) if summary is not None else None
    return None if text is None else VersionFacts.model_validate_json(text)


def find(table: Table, ref: str | int) -> Version:
    """Return the version that `ref` means: 3, "3", "v3", a tag, or "latest" (without such a tag, the current one).

    Raises VersionNotFound, naming what there is.
    """
    known = versions(table)
    wanted = str(ref).strip()
    for version in known:
        if wanted in (str(version.version), f"v{version.version}", *version.tags):
            return version
    if wanted == "latest":
        for version in known:
            if version.current:
                return version
    have = ", ".join([f"v{version.version}" for version in known[:20]] + sorted(tag for v in known for tag in v.tags))
    raise VersionNotFound(
        f"dataset {table.name()[-1]!r} has no version {wanted!r}",
        found=have or "none",
        remedy="evenkeel versions lists them",
    )
