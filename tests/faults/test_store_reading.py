"""A source on an object store that throttles, cuts, forgets or refuses: no row is lost, and requests are bounded."""

import http.client
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from evenkeel.infra.compute import Compute
from evenkeel.infra.errors import InputError, StorageError
from evenkeel.tasks.ingest.pool import Pool
from tests.examples import THOROUGH
from tests.faults.between import EXPIRED, SLOW_DOWN, Answer, Asked, Between, Lag, Weather, refusal
from tests.ingest.pools import ingest
from tests.s3.servers import BUCKET, Store, seaweed

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(3600)]

OBJECTS = 10_000 if THOROUGH else 500
PER_OBJECT = 4  # the head and the first bytes to inspect it, the head to see that it is the same, all of it to read it
ROWS = 3


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A SeaweedFS server."""
    with seaweed(tmp_path_factory.mktemp("weed")) as store:
        yield store


def shard(number: int, form: str = "jsonl") -> bytes:
    rows = [{"id": f"{number}-{row}", "text": f"some words {number} {row}"} for row in range(ROWS)]
    if form == "jsonl":
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def put(store: Store, folder: str, numbers: range, form: str = "jsonl") -> str:
    """Write shards past s3fs, which takes thirty times as long, and return the URI of their folder."""
    host = urlsplit(store.endpoint).netloc
    signer = S3SigV4Auth(Credentials(store.key, store.secret), "s3", "us-east-1")

    def some(part: range) -> None:
        line = http.client.HTTPConnection(host)
        for number in part:
            path = f"/{BUCKET}/{folder}/{number:05d}.{form}"
            asked = AWSRequest("PUT", f"http://{host}{path}", data=shard(number, form))
            signer.add_auth(asked)
            line.request("PUT", path, body=asked.data, headers=dict(asked.headers.items()))
            with line.getresponse() as answer:
                answer.read()
                assert answer.status == 200
        line.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(some, [numbers[at::4] for at in range(4)]))
    return f"s3://{BUCKET}/{folder}"


def read(folder: Path, uri: str, compute: Compute | None = None) -> Pool:
    return ingest(folder, compute or Compute(threads=2), uri=uri, max_quarantined=1.0)


def sound(pool: Pool, objects: int) -> bool:
    """Tell whether all rows of so many shards are there, each once."""
    ids = {one for block in pool.blocks for one in pool.table(block, ["id"])["id"].to_pylist()}
    return pool.rows == pool.info.read == len(ids) == ROWS * objects and not any(one.reason for one in pool.shards)


def test_ten_thousand_objects_in_bad_weather_take_a_bounded_number_of_requests(
    weed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = put(weed, "many", range(OBJECTS))
    weather = Weather(throttled=50, cut=97, late=31, seconds=0.05)
    with Between(weed) as between:
        weather.over(between)
        between.store.use(monkeypatch)
        pool = read(tmp_path, uri, Compute(threads=2, isolated=True))
        asked, faults = between.requests.copy(), weather.faults.copy()
        assert sound(pool, OBJECTS)
        print(f"\n{OBJECTS:,} objects: {dict(asked)}, {asked.total() / OBJECTS:.2f} requests each; {dict(faults)}")
        tried_again = faults["throttled"] + faults["cut"]
        assert asked["LIST"] <= 2 * (OBJECTS // 1000 + 2) + tried_again
        assert asked.total() <= PER_OBJECT * OBJECTS + asked["LIST"] + 2 * tried_again
        assert min(faults.values()) >= OBJECTS // 40
        between.requests.clear()
        assert sound(read(tmp_path, uri, Compute(threads=2, isolated=True)), OBJECTS)
        assert set(between.requests) == {"LIST"}


@pytest.mark.parametrize("last", [20, 60])
def test_keys_that_expire_in_the_middle_stop_the_run_and_new_ones_go_on(
    weed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    uri = put(weed, f"expired-{last}", range(40))

    def refuse_old_keys(asked: Asked) -> Answer | None:
        return EXPIRED if asked.number > last and asked.key == "publisher" else None

    with Between(weed, before=refuse_old_keys) as between:
        between.store.use(monkeypatch)
        with pytest.raises(StorageError, match=r"not allowed to read(.|\n)*token has expired(.|\n)*credentials"):
            read(tmp_path, uri)
        between.requests.clear()
        between.store.with_key("reader", "reader-hunter2").use(monkeypatch)
        assert sound(read(tmp_path, uri), 40)
        assert between.requests["GET"] <= 80 - (last > 50) * 38


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("answer", [EXPIRED, SLOW_DOWN, refusal(403, "AccessDenied")], ids=["expired", "503", "403"])
def test_a_refusal_of_the_store_is_no_damage_of_the_shard(
    weed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, answer: Answer
) -> None:
    uri = put(weed, f"refused-{form}-{answer.body.hex()[120:150]}", range(6), form)
    refused = 0

    def refuse_at_first(asked: Asked) -> Answer | None:
        nonlocal refused
        mine = asked.kind == "GET" and "/00003" in asked.path
        refused += mine
        # botocore and s3fs try a 503 again, together 25 times, within which it is over
        return answer if mine and refused <= (3 if answer is SLOW_DOWN else 1) else None

    with Between(weed, before=refuse_at_first) as between:
        between.store.use(monkeypatch)
        if answer is not SLOW_DOWN:
            with pytest.raises(StorageError, match="not allowed to read"):
                read(tmp_path, uri)
        assert sound(read(tmp_path, uri), 6)


def test_a_listing_that_lags_loses_no_row_for_good(
    weed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lag = Lag(seconds=1e9)
    with Between(weed, before=lag.before, after=lag.after) as between:
        between.store.use(monkeypatch)
        uri = put(weed, "lagging", range(20))
        put(between.store, "lagging", range(20, 30))
        assert sound(read(tmp_path, uri), 20)
        assert lag.hidden >= 10
        lag.seconds = 0
        between.requests.clear()
        assert sound(read(tmp_path, uri), 30)
        assert between.requests["GET"] == 2 * 10  # the new ones alone
        between.before = lambda asked: refusal(404, "NoSuchKey") if "/00031" in asked.path else None
        put(weed, "lagging", range(30, 32))
        with pytest.raises(InputError, match=r"gone since the source was listed(.|\n)*00031"):
            read(tmp_path, uri)
