"""From sorted pieces to the data files of a version."""

from dataclasses import dataclass

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.sections import read_sections
from evenkeel.infra.tables import read_batch, write_table_into
from evenkeel.tasks.publish.layout import open_hashed
from evenkeel.tasks.publish.manifest import FileEntry
from evenkeel.tasks.publish.staging.order import Order


@dataclass(frozen=True)
class GatherJob:
    """How data files are made: from which pieces, in which order, and where they go."""

    pieces: tuple[str, ...]
    order: str
    folder: str
    rows_per_group: int


def gather(job: GatherJob, number: int) -> FileEntry:
    """Write data file `number`, its batch of every piece in published order, and return its manifest entry."""
    order = Order.load(job.order)
    sections = [read_sections(piece, number, number + 1)[0] for piece in job.pieces]
    table = pa.Table.from_batches([read_batch(section) for section in sections if len(section)])
    return write_data_file(job.folder, number, table.take(order.sort(*order.keys(table))), job.rows_per_group)


def write_data_file(folder: str, number: int, table: pa.Table, rows_per_group: int) -> FileEntry:
    """Write one Parquet data file: zstd, column statistics, a page index and page checksums; hashed on the way."""
    path = f"data/part-{number:05d}.parquet"
    with open_hashed(storage.join(folder, path)) as out:
        write_table_into(out, table, rows_per_group, page_index=True)
    return FileEntry(path=path, bytes=out.bytes, sha256=out.sha256, rows=table.num_rows)
