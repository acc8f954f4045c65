"""One small curated pool for all tests of this room."""

import pytest

from tests.validate.pools import Curated, curate, write_shards


@pytest.fixture(scope="session")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    folder = tmp_path_factory.mktemp("curated")
    return curate(folder, write_shards(folder / "shards"))
