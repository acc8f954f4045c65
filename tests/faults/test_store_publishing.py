"""Versions on stores that throttle, cut, lag, expire, keep every version of an object, or lock it: all or nothing."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import s3fs

from evenkeel.infra import storage
from evenkeel.infra.errors import CommitStateUnknown, StorageError
from evenkeel.tasks.publish.config import DestinationConfig, Retention
from evenkeel.tasks.versions.listing import list_versions
from evenkeel.tasks.versions.prune import prune
from evenkeel.tasks.versions.tags import rollback
from evenkeel.tasks.versions.verify import verify
from tests.faults.between import EXPIRED, Answer, Asked, Between, Lag, Weather
from tests.faults.publishing import Job
from tests.s3.conftest import moto_store, seaweed_store, store
from tests.s3.servers import BUCKET, Store

__all__ = ["moto_store", "seaweed_store", "store"]

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

EAGER = Retention(keep_last=1, keep_days=0, grace_hours=0, trash_days=0)
MOST = 150  # requests of a publication of two blocks; 115 when this was written
SAID = r"token has expired|Bad Request(.|\n)*have not expired|running again is safe"


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """Publications to a folder of its own in a bucket, one per seed."""
    place = uuid.uuid4().hex

    def one(seed: int, bucket: str = BUCKET) -> Job:
        config = DestinationConfig(uri=f"s3://{bucket}/{place}", rows_per_file=30)
        return Job(tmp_path, config, seed, str(tmp_path / "workspace"))

    return one


def is_sound(job: Job, version: int) -> bool:
    return verify(job.config, "demo", version, job.workspace).sound


def make_bucket(bucket: str, locked: bool) -> Any:
    """Make a bucket that keeps every version of an object, or locks each for a day; return its file system."""
    fs = storage.filesystem(f"s3://{bucket}")[0]
    fs.call_s3("create_bucket", Bucket=bucket, **({"ObjectLockEnabledForBucket": True} if locked else {}))
    if locked:
        rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
        lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        fs.call_s3("put_object_lock_configuration", Bucket=bucket, ObjectLockConfiguration=lock)
    else:
        fs.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return fs


def test_a_publication_in_bad_weather_takes_a_bounded_number_of_requests(
    seaweed_store: Store, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Between(seaweed_store) as between:
        between.store.use(monkeypatch)
        assert job(0).run().version == 1
        fair = between.requests.total()
        print(f"\na publication: {dict(between.requests)}")
        weather = Weather(throttled=11, cut=17, late=7)
        weather.over(between)
        between.requests.clear()
        assert job(1).run().version == 2
        print(f"in bad weather: {dict(between.requests)}, {dict(weather.faults)}")
        assert min(weather.faults.values()) > 3
        assert fair <= MOST
        assert between.requests.total() <= MOST + 2 * (weather.faults["throttled"] + weather.faults["cut"])
    seaweed_store.use(monkeypatch)
    assert is_sound(job(1), 1)
    assert is_sound(job(1), 2)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
def test_keys_that_expire_in_the_middle_publish_nothing_and_new_ones_all(
    seaweed_store: Store, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    with Between(seaweed_store) as between:
        between.store.use(monkeypatch)
        assert job(0).run().version == 1
        between.requests.clear()
        assert job(1).run().version == 2
        last = int(share * between.requests.total())
        between.requests.clear()

        def refuse_old_keys(asked: Asked) -> Answer | None:
            return EXPIRED if asked.number > last and asked.key == "publisher" else None

        between.before = refuse_old_keys
        with pytest.raises((StorageError, CommitStateUnknown), match=SAID):
            job(2).run()
    seaweed_store.use(monkeypatch)
    seen = [version.version for version in list_versions(job(2).config, "demo", job(2).workspace)]
    assert seen in ([2, 1], [3, 2, 1])  # before the commit, or after it, when what lies beside the version is missing
    assert job(2).run().version == 3
    assert all(is_sound(job(2), version) for version in (1, 2, 3))


def test_listings_that_lag_hide_no_version_and_prune_nothing_that_is_held(
    seaweed_store: Store, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    lag = Lag(seconds=1e9)
    with Between(seaweed_store, before=lag.before, after=lag.after) as between:
        between.store.use(monkeypatch)
        assert job(0).run().version == 1
        assert job(1).run().version == 2
        assert job(1).run().status == "unchanged"
        rollback(job(1).config, "demo", 1, job(1).workspace)
        prune(job(1).config.model_copy(update={"retention": EAGER}), "demo", job(1).workspace, dry_run=False)
        assert lag.hidden > 0
    seaweed_store.use(monkeypatch)
    left = [version.version for version in list_versions(job(1).config, "demo", job(1).workspace)]
    assert 1 in left
    assert all(is_sound(job(1), version) for version in left)


@pytest.mark.parametrize("locked", [False, True], ids=["versioning", "object-lock"])
def test_buckets_that_keep_every_version_of_an_object(
    store: Store, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    if locked:  # AWS takes no file into such a bucket without a checksum
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
        s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"b{uuid.uuid4().hex[:12]}"
    fs = make_bucket(bucket, locked)
    assert [job(seed, bucket).run().version for seed in range(3)] == [1, 2, 3]
    one = job(0, bucket)
    rollback(one.config, "demo", 2, one.workspace)
    eager = one.config.model_copy(update={"retention": EAGER})
    assert prune(eager, "demo", one.workspace, dry_run=False).versions == [1]
    assert prune(eager, "demo", one.workspace).folders == []
    left = [version.version for version in list_versions(one.config, "demo", one.workspace)]
    assert left == [3, 2]
    assert all(is_sound(one, version) for version in left)
    old = fs.call_s3("list_object_versions", Bucket=bucket).get("Versions", [])
    gone = [each for each in old if "/data/" in each["Key"] and not storage.exists(f"s3://{bucket}/{each['Key']}")]
    assert gone  # the store keeps what prune removed, as its owner asked it to
    if locked:
        with pytest.raises(PermissionError):
            fs.call_s3("delete_object", Bucket=bucket, Key=gone[0]["Key"], VersionId=gone[0]["VersionId"])


def test_a_bucket_that_locks_files_asks_for_checksums_in_clear_words(
    moto_store: Store, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    moto_store.use(monkeypatch)
    bucket = f"b{uuid.uuid4().hex[:12]}"
    make_bucket(bucket, locked=True)
    with pytest.raises(StorageError, match="AWS_REQUEST_CHECKSUM_CALCULATION=when_supported"):
        job(0, bucket).run()
