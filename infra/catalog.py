"""The Iceberg catalog that says which versions exist: SQLite beside the data, PostgreSQL, REST or any by name."""

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from fsspec import AbstractFileSystem
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NotInstalledError, RESTError
from pyiceberg.io.fsspec import FsspecFileIO, FsspecOutputFile
from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError
from evenkeel.infra.whole import WholeStream

NAME = "evenkeel"
CATALOG_FILE = "catalog.db"
LOCK_SECONDS = 60
ANSWERS = (RESTError, SQLAlchemyError, BotoCoreError, ClientError)


class StorageIO(FsspecFileIO):
    """Iceberg's metadata files through the same fsspec stores, and so the same credentials, as everything else."""

    def _get_fs(self, scheme: str, hostname: str | None = None) -> AbstractFileSystem:
        if scheme in ("", "file"):
            return super()._get_fs("file")
        return storage.filesystem(f"{scheme}://{hostname or ''}")[0]

    def new_output(self, location: str) -> "WholeOutputFile":
        """Return a file to be written; readers, and those who list the folder, see it whole or not at all."""
        written = super().new_output(location)
        return WholeOutputFile(location, written._fs)


class WholeOutputFile(FsspecOutputFile):
    """One of Iceberg's own files: PyIceberg opens it in place, so that others could read it half written."""

    def create(self, overwrite: bool = False) -> WholeStream:
        """Open the file for writing. Raises FileExistsError where it is there and `overwrite` is False."""
        if not overwrite and self.exists():
            raise FileExistsError(f"Cannot create file, file already exists: {self.location}")
        return WholeStream(self._fs, self._fs._strip_protocol(self.location))


@contextmanager
def open_catalog(uri: str | None, destination: str) -> Iterator[Catalog]:
    """Open the catalog at `uri`, or else the SQLite file that belongs to `destination` (see `embedded`).

    uri: `sqlite:///path`, `postgresql://host/database`, `http(s)://` of a REST catalog, or the name of a catalog from
    PyIceberg's own configuration (.pyiceberg.yaml, PYICEBERG_CATALOG__*). Passwords and tokens come from the
    environment (PGPASSWORD, ~/.pgpass, PYICEBERG_CATALOG__EVENKEEL__TOKEN), never from here.
    Raises StorageError where the catalog does not answer.
    """
    catalog = _open(uri or f"sqlite:///{embedded(destination)}")
    try:
        yield catalog
    finally:
        if isinstance(catalog, SqlCatalog):
            catalog.engine.dispose()


@contextmanager
def answering(where: str, *others: type[Exception]) -> Iterator[None]:
    """Raise StorageError where the catalog refuses, does not answer, or raises one of `others`.

    A commit that lost to another one is neither: its CommitFailedException passes.
    """
    try:
        yield
    except (*ANSWERS, *others) as error:
        raise StorageError(
            "the catalog does not answer, or refuses",
            where=where,
            found=first_line(error),
            remedy="check that it runs, that its address is right, and that its password is in the environment",
        ) from error


def first_line(error: BaseException) -> str:
    """Return an error's type and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def embedded(destination: str) -> Path:
    """Return the SQLite file that is the catalog of a destination whose recipe names none.

    It lies beside the data, as `<destination>/catalog.db`, so that every process on every machine that sees the data
    finds the same one, from whatever folder it was started. On an object store no SQLite file can lie: there it is in
    the user's data folder (XDG_DATA_HOME), by destination.
    """
    if storage.is_local(destination):
        return Path(storage.filesystem(destination)[1]) / CATALOG_FILE
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    name = hashlib.sha256(destination.rstrip("/").encode()).hexdigest()[:16]
    return Path(data).absolute() / "evenkeel" / "catalogs" / name / CATALOG_FILE


def is_missing(uri: str | None, destination: str) -> bool:
    """Tell whether the catalog is a SQLite file that does not exist; opening it would create it."""
    if uri is None:
        return not embedded(destination).exists()
    return uri.startswith("sqlite") and not Path(uri.partition(":///")[2]).exists()


def address(uri: str | None, destination: str) -> str:
    """Return what a person calls the catalog; of a SQLite file also the machine, where others do not see the file."""
    if uri is None and storage.is_local(destination):
        return CATALOG_FILE
    path = embedded(destination) if uri is None else Path(uri.partition(":///")[2]).absolute()
    if uri is None or uri.startswith("sqlite"):
        return f"sqlite:///{path} on {socket.gethostname()}"
    return uri


def _open(uri: str) -> Catalog:
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    options = {"py-io-impl": f"{StorageIO.__module__}.{StorageIO.__qualname__}"}
    with answering(uri, OSError, ValueError, NotInstalledError):
        if scheme.startswith("sqlite"):
            Path(uri.partition(":///")[2]).absolute().parent.mkdir(parents=True, exist_ok=True)
            return _sql(f"{uri}?timeout={LOCK_SECONDS}", options)
        if scheme.startswith("postgres"):
            return _sql(f"postgresql+psycopg://{uri.partition('://')[2]}", options)
        if scheme in ("http", "https"):
            return load_catalog(NAME, type="rest", uri=uri, **options)
        return load_catalog(uri, **options)


def _sql(uri: str, options: dict[str, str]) -> SqlCatalog:
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    others_create_its_tables = (IntegrityError, OperationalError, ProgrammingError)
    patience = Retrying(
        retry=retry_if_exception_type(others_create_its_tables),
        wait=wait_fixed(0.5),
        stop=stop_after_attempt(2),
        reraise=True,
    )
    settings = {"uri": uri, "pool_pre_ping": "true", **options}
    return patience(SqlCatalog, NAME, **settings)
