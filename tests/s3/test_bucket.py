"""A bucket is made where there is none, in the store that the environment names."""

import pytest

from evenkeel.infra import storage
from evenkeel.infra.bucket import make_bucket
from evenkeel.infra.errors import StorageError
from tests.s3.servers import Store

pytestmark = [pytest.mark.server, pytest.mark.long]


def test_a_bucket_is_made_once_and_takes_files(seaweed_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seaweed_store.use(monkeypatch)
    assert make_bucket("mine")
    assert not make_bucket("mine")
    storage.write_bytes("s3://mine/a/b.txt", b"c")
    assert storage.read_bytes("s3://mine/a/b.txt") == b"c"


def test_a_store_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, seaweed_store: Store) -> None:
    seaweed_store.use(monkeypatch)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageError, match="the store makes no bucket"):
        make_bucket("mine", seconds=0, endpoint_url="http://127.0.0.1:9")
