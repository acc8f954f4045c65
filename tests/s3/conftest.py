"""The stores, started once per session."""

from collections.abc import Iterator

import pytest

from tests.publish.fixtures import publish_from
from tests.s3.servers import Store, moto, seaweed

__all__ = ["moto_store", "publish_from", "seaweed_store", "store"]


@pytest.fixture(scope="session")
def seaweed_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A SeaweedFS server."""
    with seaweed(tmp_path_factory.mktemp("seaweed")) as store:
        yield store


@pytest.fixture(scope="session")
def moto_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A moto server."""
    with moto(tmp_path_factory.mktemp("moto")) as store:
        yield store


@pytest.fixture(params=["seaweed", pytest.param("moto", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Each of the servers in turn, in use by this process."""
    found: Store = request.getfixturevalue(f"{request.param}_store")
    found.use(monkeypatch)
    return found
