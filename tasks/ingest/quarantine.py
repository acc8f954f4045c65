"""The quarantine as a table: refused shards, and refused rows by reason with samples."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.infra.listing import touched
from evenkeel.infra.tables import read_groups
from evenkeel.infra.workspace import USED
from evenkeel.tasks.ingest.pool import SHARD_BITS, Shard

SAMPLES = 3
MOST_SHARDS = 1000
SHARDS_FILE = "shards.json"


class RefusedRow(BaseModel):
    """A row that was refused: its shard, its number there, its id and what was found."""

    model_config = ConfigDict(frozen=True)

    uri: str
    row: int
    id: str = ""
    detail: str = ""


class RefusedRows(BaseModel):
    """How many rows were refused for one reason, and the first of them in pool order."""

    model_config = ConfigDict(frozen=True)

    reason: str
    rows: int
    samples: list[RefusedRow] = []


class RefusedShard(BaseModel):
    """A shard none of whose rows was read; rows: how many it says it has, 0 where that is unknown."""

    model_config = ConfigDict(frozen=True)

    uri: str
    bytes: int
    rows: int
    reason: str


class Quarantine(BaseModel):
    """What was refused. rows: commonest reason first. shards: the first thousand of `refused_shards`, in pool order."""

    model_config = ConfigDict(frozen=True)

    rows: list[RefusedRows] = []
    shards: list[RefusedShard] = []
    refused_shards: int = 0

    @property
    def refused_rows(self) -> int:
        """Return how many rows were refused."""
        return sum(one.rows for one in self.rows)

    @property
    def records(self) -> list[dict[str, object]]:
        """Return one flat record per refused shard and per sample of a reason, the table that is shown everywhere."""
        table: list[dict[str, object]] = [
            {"what": "shard", "reason": one.reason, "rows": one.rows, "where": one.uri, "found": f"{one.bytes:,} bytes"}
            for one in self.shards
        ]
        for reason in self.rows:
            for sample in reason.samples:
                found = ": ".join(part for part in (sample.id, sample.detail) if part)
                where = f"{sample.uri}, row {sample.row:,}"
                table.append(
                    {"what": "row", "reason": reason.reason, "rows": reason.rows, "where": where, "found": found}
                )
        return table


def quarantine_of(pool: str, samples: int = SAMPLES) -> Quarantine:
    """Return what an ingest step refused, finished or not, given the URI of its folder.

    Memory is bounded by one row group of refused rows. Raises FileNotFoundError where no shard was read there.
    """
    shards = [Shard.model_validate(item) for item in storage.read_json(storage.join(pool, SHARDS_FILE))]
    files = storage.list_files(storage.join(pool, "quarantine"))
    tables = (table for uri in files if uri.endswith(".parquet") for table in read_groups(uri))
    return summarize(((one.number, one.uri, one.bytes, one.rows, one.reason) for one in shards), tables, samples)


def summarize(
    shards: Iterable[tuple[int, str, int, int, str]], tables: Iterable[pa.Table], samples: int = SAMPLES
) -> Quarantine:
    """Return the summary of refused shards and rows.

    shards: (number, URI, bytes, rows, reason of refusal or "") of all. tables: of refused rows with `row_id`, `id` and
    `reason`, and `detail` where it is known.
    """
    known = list(shards)
    uris = {number: uri for number, uri, *_ in known}
    refused = [
        RefusedShard(uri=uri, bytes=size, rows=rows, reason=reason) for _, uri, size, rows, reason in known if reason
    ]
    counts: Counter[str] = Counter()
    found: dict[str, list[RefusedRow]] = {}
    for table in tables:
        for one in table["reason"].value_counts().to_pylist():
            counts[one["values"]] += one["counts"]
        for reason in table["reason"].unique().to_pylist():
            kept = found.setdefault(reason, [])
            kept += _samples(table, reason, uris, samples - len(kept))
    rows = [RefusedRows(reason=reason, rows=times, samples=found[reason]) for reason, times in counts.most_common()]
    return Quarantine(rows=rows, shards=refused[:MOST_SHARDS], refused_shards=len(refused))


def newest_pool(workspace: str, dataset: str) -> str | None:
    """Return the folder of the ingest step that ran last and got as far as reading, None where there is none."""
    base = storage.join(workspace, dataset, "ingest")
    fs, path = storage.filesystem(base)
    fs.invalidate_cache()
    places = fs.ls(path, detail=False) if fs.exists(path) else []
    keys = [storage.join(base, str(place).rstrip("/").rpartition("/")[2]) for place in places]
    read = [uri for uri in keys if storage.exists(storage.join(uri, SHARDS_FILE))]
    return max(read, key=lambda uri: touched(_info(storage.join(uri, USED), uri)), default=None)


def _samples(table: pa.Table, reason: str, uris: Mapping[int, str], most: int) -> Iterator[RefusedRow]:
    if most <= 0:
        return
    import pyarrow.compute as pc

    rows = table.filter(pc.equal(table["reason"], reason)).slice(0, most)
    for one in rows.to_pylist():
        shard, row = one["row_id"] >> SHARD_BITS, one["row_id"] & ((1 << SHARD_BITS) - 1)
        yield RefusedRow(uri=uris[shard], row=row, id=one["id"] or "", detail=(one.get("detail") or "")[:400])


def _info(uri: str, otherwise: str) -> dict[str, object]:
    fs, path = storage.filesystem(uri if storage.exists(uri) else storage.join(otherwise, SHARDS_FILE))
    return dict(fs.info(path))
