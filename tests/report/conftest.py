"""Cards of a small curated pool: one of a first version that passes, one of a later version that is blocked."""

import pytest

from tests.report.cards import Card, blocked_card, first_card
from tests.validate.pools import Curated, curate, write_shards


@pytest.fixture(scope="session")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    folder = tmp_path_factory.mktemp("curated")
    return curate(folder, write_shards(folder / "shards"))


@pytest.fixture(scope="session")
def first(curated: Curated) -> Card:
    return first_card(curated)


@pytest.fixture(scope="session")
def blocked(curated: Curated) -> Card:
    return blocked_card(curated)
