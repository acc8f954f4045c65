"""The Iceberg catalog that says which versions exist: SQLite beside the workspace, PostgreSQL, REST or any by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from fsspec import AbstractFileSystem
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NotInstalledError, RESTError
from pyiceberg.io.fsspec import FsspecFileIO
from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, StorageError

NAME = "evenkeel"
LOCK_SECONDS = 60
ANSWERS = (RESTError, SQLAlchemyError, BotoCoreError, ClientError)


class StorageIO(FsspecFileIO):
    """Iceberg's metadata files through the same fsspec stores, and so the same credentials, as everything else."""

    def _get_fs(self, scheme: str, hostname: str | None = None) -> AbstractFileSystem:
        if scheme in ("", "file"):
            return super()._get_fs("file")
        return storage.filesystem(f"{scheme}://{hostname or ''}")[0]


@contextmanager
def open_catalog(uri: str | None, workspace: str) -> Iterator[Catalog]:
    """Open the catalog at `uri`, or the SQLite file `catalog.db` in a local `workspace`.

    uri: `sqlite:///path`, `postgresql://host/database`, `http(s)://` of a REST catalog, or the name of a catalog from
    PyIceberg's own configuration (.pyiceberg.yaml, PYICEBERG_CATALOG__*). Passwords and tokens come from the
    environment (PGPASSWORD, ~/.pgpass, PYICEBERG_CATALOG__EVENKEEL__TOKEN), never from here.
    Raises RecipeError where the workspace cannot hold a SQLite file, StorageError where the catalog does not answer.
    """
    catalog = _open(uri, workspace)
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


def _open(uri: str | None, workspace: str) -> Catalog:
    if uri is None:
        uri = f"sqlite:///{_beside(workspace)}"
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


def _beside(workspace: str) -> Path:
    if not storage.is_local(workspace):
        raise RecipeError(
            "a workspace on an object store cannot hold a SQLite catalog",
            where="destination.catalog",
            found=workspace,
            remedy="name a catalog that many machines can share: postgresql://host/database or https://...",
        )
    return Path(storage.filesystem(workspace)[1]) / "catalog.db"
