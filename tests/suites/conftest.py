"""Where the checkouts of other projects' test suites are."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def suites() -> Path:
    """The folder with the checkouts."""
    if "EVENKEEL_SUITES" not in os.environ:
        pytest.skip("no checkouts of test suites: make test-suites DIR=FOLDER")
    return Path(os.environ["EVENKEEL_SUITES"])
