"""The files of a version that lie beside its rows: dispositions, centroids, quotas."""

from collections.abc import Mapping

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.arrays import plain_npy
from evenkeel.infra.tables import write_table_into
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.columns import BESIDE
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.publish.layout import MADE, copy_hashed, open_hashed
from evenkeel.tasks.publish.manifest import FileEntry
from evenkeel.tasks.publish.staging import dispositions


def write_table(folder: str, path: str, table: pa.Table) -> FileEntry:
    """Write a small table of a version as Parquet with page checksums and return its manifest entry."""
    with open_hashed(storage.join(folder, path)) as out:
        write_table_into(out, table)
    return FileEntry(path=path, bytes=out.bytes, sha256=out.sha256, rows=table.num_rows)


def write_quarantined(pool: Pool, folder: str) -> FileEntry:
    """Write the dispositions of the rows that ingest quarantined."""
    rows = pool.quarantine()
    table = dispositions.quarantined(rows["row_id"], rows["id"], rows["reason"])
    return write_table(folder, f"{dispositions.FOLDER}/quarantined.parquet", table)


def copy_clusters(cluster: str, folder: str) -> list[FileEntry]:
    """Copy the levels of the hierarchy, all but the rows, which the data files hold."""
    levels = [uri for uri in storage.list_files(cluster) if "/level-" in uri[len(cluster) - 1 :]]
    return [_copy(uri, folder, "centroids/" + "/".join(uri.split("/")[-2:])) for uri in levels]


def copy_quotas(sample: str, folder: str) -> list[FileEntry]:
    """Copy the quotas of the leaves, and the candidates that the rule was chosen from."""
    tables = [uri for uri in storage.list_files(sample) if uri.endswith(("/quotas.parquet", "/candidates.parquet"))]
    return [_copy(uri, folder, "selection/" + uri.rpartition("/")[2]) for uri in tables]


def copy_made(annotations: Mapping[str, StepRef], folder: str) -> list[FileEntry]:
    """Copy the tables of rows that annotations made, which lie apart from the kept rows."""
    found = []
    for name, ref in annotations.items():
        for uri in storage.list_files(storage.join(ref.uri, BESIDE)):
            found.append(_copy(uri, folder, f"{MADE}/{name}-{uri.rpartition('/')[2]}"))
    return found


def _copy(source: str, folder: str, path: str) -> FileEntry:
    out = copy_hashed(plain_npy(source) if source.endswith(".npy") else source, storage.join(folder, path))
    return FileEntry(path=path, bytes=out.bytes, sha256=out.sha256)
