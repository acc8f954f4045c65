"""What docs/CONSUME.md says of S3 reads a version from a store with an endpoint, as it stands."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.publish.publish import PublishResult
from tests.reading.test_consume_docs import BLOCKS, STORE
from tests.s3.servers import BUCKET, Store

pytestmark = [pytest.mark.server, pytest.mark.long]


def blocks() -> list[str]:
    """Return the blocks below the heading."""
    titles = [heading for heading, _ in BLOCKS]
    first = titles.index(STORE) + 1
    count = next(place for place, title in enumerate(titles[first:]) if title)
    return [code for _, code in BLOCKS[first : first + count]]


@pytest.fixture
def destination() -> DestinationConfig:
    """A folder of its own in the bucket."""
    return DestinationConfig(uri=f"s3://{BUCKET}/{uuid.uuid4().hex}")


def test_every_block_reads_the_whole_version(
    seaweed_store: Store, publish_from: Callable[..., PublishResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    seaweed_store.use(monkeypatch)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    result = publish_from("worker")
    assert len(blocks()) == 3
    for code in blocks():
        names: dict[str, Any] = {"data": result.data, "dataset": result.location.partition("/versions/")[0]}
        exec(compile(code, "docs/CONSUME.md", "exec"), names)
        found = names["rows"]
        assert (sum(count for _, count in found) if isinstance(found, list) else len(found)) == result.rows
        if "connection" in names:
            names["connection"].close()
