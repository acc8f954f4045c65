"""The trash of a dataset: folders that a prune let go, kept for some days so that `restore` can bring a version back.

Nothing is moved, so that it costs the same on every store and nothing is ever half moved: the files stay where they are
and a record in `<dataset>/trash/` says what they were. The record's age by the store's clock is how long they have been
there. A mark in the folder itself keeps publishers from using the files for another version.
"""

import getpass
import socket
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError
from pyiceberg.table import Table

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, StorageError, VersionNotFound
from evenkeel.infra.listing import listing, touched
from evenkeel.infra.tables import read_schema
from evenkeel.tasks.publish import audit, commit, trail
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.index import write_index
from evenkeel.tasks.publish.layout import IN_TRASH, PRUNED, VERSIONS
from evenkeel.tasks.publish.opening import dataset_table
from evenkeel.tasks.publish.table import Version, VersionFacts, find, home, versions
from evenkeel.tasks.versions.history import require_whole
from evenkeel.tasks.versions.listing import read_manifest

TRASH = "trash"


class Trashed(BaseModel):
    """A folder in the trash. version: what it was, None for files that no version held; since: by the store's clock."""

    model_config = ConfigDict(frozen=True)

    run: str
    version: int | None = None
    tags: list[str] = []
    facts: VersionFacts | None = None
    by: str = ""
    since: datetime | None = None


def trashed(table: Table) -> list[Trashed]:
    """Return what is in the trash of a dataset, by folder name."""
    base = storage.join(home(table), TRASH)
    found = []
    for path, info in sorted(listing(base).items()):
        try:
            one = Trashed.model_validate(storage.read_json(storage.join(base, path)))
        except (FileNotFoundError, ValueError, ValidationError):
            continue
        found.append(one.model_copy(update={"since": touched(info)}))
    return found


def put(table: Table, version: Version) -> None:
    """Write down what a version is, before its names are dropped."""
    run = version.location.rpartition("/")[2]
    facts = VersionFacts(**version.model_dump(include=set(VersionFacts.model_fields)))
    _write(table, Trashed(run=run, version=version.version, tags=version.tags, facts=facts, by=_me()))


def put_folder(table: Table, run: str) -> None:
    """Write down that a folder which no version holds is in the trash."""
    _write(table, Trashed(run=run, by=_me()))


def forget(table: Table, run: str) -> None:
    """Remove the record of a folder, after its files or after it was brought back."""
    storage.remove(_record(table, run))


def restore(config: DestinationConfig, dataset: str, version: int, workspace: str) -> Version:
    """Bring a pruned version back from the trash, under its number; no tag means it and it is not current.

    Raises VersionNotFound, naming what the trash holds, RecipeError where the version is there, InputError where it
    holds a row that was taken down since, StorageError where files of it are gone.
    """
    with dataset_table(config, dataset, workspace) as table:
        record = next((one for one in trashed(table) if one.version == version), None)
        if any(known.version == version for known in versions(table)):
            if record is None:
                raise RecipeError(f"v{version} of {dataset!r} is there: there is nothing to restore")
            return _finish(table, record.run, version)  # a restore that was killed had brought it back
        if record is None or record.facts is None:
            held = sorted(one.version for one in trashed(table) if one.version is not None)
            raise VersionNotFound(
                f"v{version} of {dataset!r} is not in the trash",
                found=", ".join(f"v{number}" for number in held) or "nothing",
                remedy="what is removed for good can only be published anew",
            )
        found = _as_version(table, record, record.facts, version)
        require_whole(home(table), [found])
        manifest = read_manifest(found)
        audit.refuse_excluded(config.uri, dataset, found.location, manifest.data)
        files = [storage.join(found.location, entry.path) for entry in manifest.data]
        schema = read_schema(files[0])
        footers, branch = commit.read_footers(table, schema, files), f"audit-restore-{version}"
        facts = record.facts.model_copy(update={"location": found.location})

        def once() -> None:
            if any(known.version == version for known in versions(table)):
                return
            commit.register(table, branch, schema, footers, facts)
            _take_mark(table, branch, found.location)
            more = trail.record(table.metadata, trail.entry("restored", version))
            commit.name_version(table, branch, version, [], more)

        commit.retried(table, once)
        return _finish(table, record.run, version)


def _finish(table: Table, run: str, version: int) -> Version:
    """Let readers without the catalog know of a version that is back, and take it out of the records of the trash."""
    write_index(table)
    forget(table, run)
    return find(table, version)


def _take_mark(table: Table, branch: str, folder: str) -> None:
    """Remove the mark of the trash from a folder, unless a prune is removing the folder by now."""
    mark = storage.join(folder, PRUNED)
    try:
        removing = storage.read_bytes(mark) != IN_TRASH
    except FileNotFoundError:
        removing = False
    if removing:
        commit.drop_branch(table, branch)
        raise StorageError("a prune is removing this version for good", where=folder, remedy="publish it anew")
    storage.remove(mark)


def _as_version(table: Table, record: Trashed, facts: VersionFacts, version: int) -> Version:
    location = storage.join(home(table), VERSIONS, record.run)
    return Version(
        **facts.model_dump(exclude={"location"}),
        location=location,
        dataset=table.name()[-1],
        version=version,
        tags=[],
        current=False,
        data=storage.join(location, "data"),
        snapshot_id=-1,
    )


def _write(table: Table, record: Trashed) -> None:
    storage.write_json(_record(table, record.run), record.model_dump(mode="json", exclude={"since"}))


def _record(table: Table, run: str) -> str:
    return storage.join(home(table), TRASH, f"{run}.json")


def _me() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
