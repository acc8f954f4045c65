"""What tests share: a quiet environment, servers and a curated pool that are started once, and who runs together."""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evenkeel.infra.environment import set_defaults
from evenkeel.infra.ports import free_port

set_defaults()
os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
os.environ.setdefault("EVENKEEL_ISOLATE_READERS", "0")  # a process per test costs a second: test_crash.py has them

import pytest
import yaml
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.examples import most
from tests.served import Served

if TYPE_CHECKING:
    from tests.report.cards import Card
    from tests.validate.pools import Curated

# A machine that others use too may take its time: what a property test may fail for is the property. In continuous
# integration the same examples are drawn every time; elsewhere new ones, and a failure prints how to see it again.
settings.register_profile(
    "evenkeel",
    deadline=None,
    max_examples=most(400),
    print_blob=True,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("evenkeel")

# What takes seconds to make is made in one process: files of tests that name one of these run there, all others file by
# file. All that start servers run in the same one, so that no two look for a free port at the same time.
SERVERS = re.compile(r"\b(prefect_server|served|postgres|mark\.server|tests\.s3)\b")
CURATED = re.compile(r"\b(curated|first: Card)\b")
STARTED = ("weekly", "on-demand", "on-new-shards", "crash-silent")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test that uses a server."""
    if {"prefect_server", "served", "postgres"} & set(getattr(item, "fixturenames", ())):
        item.add_marker("server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files of servers begin first: they take longest."""
    items.sort(key=lambda item: _together(item.nodeid.partition("::")[0]) != "servers")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Share the tests out over processes."""
    config.option.loadscopereorder = False
    return Together(config, log)


class Together(LoadScopeScheduling):  # type: ignore[misc]
    """Gives files to processes as they become free; files that belong together go to one."""

    def _split_scope(self, nodeid: str) -> str:
        return _together(nodeid.partition("::")[0])


@cache
def _together(file: str) -> str:
    text = (Path(__file__).parent.parent / file).read_text()
    return "servers" if SERVERS.search(text) else "curated" if CURATED.search(text) else file


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let catalogs of destinations on object stores lie in a folder of the tests, not in the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One temporary Prefect server with a database of its own for all tests that run flows."""
    from prefect.settings import PREFECT_HOME, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        temporary_settings({PREFECT_HOME: tmp_path_factory.mktemp("prefect")}),
        prefect_test_harness(server_startup_timeout=120),
    ):
        yield


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    """What `make serve` starts, on free ports and in folders of its own, with a few small deployments for tests.

    Without slow tests only the deployments that tests start are registered.
    """
    from evenkeel.flows.server import serve
    from evenkeel.flows.server.project import ROOT, commit

    home, project = tmp_path_factory.mktemp("serve"), tmp_path_factory.mktemp("project")
    (project / "jobs.py").symlink_to(ROOT / "tests" / "flows" / "jobs.py")
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    if "not slow" in str(request.config.getoption("markexpr")):
        document["deployments"] = [each for each in document["deployments"] if each["name"] in STARTED]
    document["deployments"] += yaml.safe_load((ROOT / "tests" / "flows" / "jobs.yaml").read_text())
    (project / "prefect.yaml").write_text(yaml.safe_dump(document))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVENKEEL_COMMIT", commit(ROOT))
        addresses = serve.up(home, port=free_port(), s3_port=free_port(), project=project)
    server = Served(home, project, addresses)
    yield server
    server.api.close()
    serve.down(home)


@pytest.fixture(scope="session")
def curated(tmp_path_factory: pytest.TempPathFactory) -> "Curated":
    """A small pool, curated up to its profile."""
    from tests.validate.pools import curate, write_shards

    folder = tmp_path_factory.mktemp("curated")
    return curate(folder, write_shards(folder / "shards"))


@pytest.fixture(scope="session")
def first(curated: "Curated") -> "Card":
    """The card of a first version, which passes."""
    from tests.report.cards import first_card

    return first_card(curated)


@pytest.fixture(scope="session")
def blocked(curated: "Curated") -> "Card":
    """The card of a later version, which is blocked."""
    from tests.report.cards import blocked_card

    return blocked_card(curated)
