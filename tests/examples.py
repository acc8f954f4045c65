"""What `make test` tries of many: an eighth of a property's examples, a few of a family; `make test-all` tries all."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest

THOROUGH = "EVENKEEL_THOROUGH_TESTS" in os.environ


def most(examples: int) -> int:
    """Return the number of examples of this run, of so many in a thorough one."""
    return examples if THOROUGH else max(12, examples // 8)


def telling(values: Iterable[Any], *names: str, name: Callable[[Any], str] = str) -> list[Any]:
    """Return the parameters of a test over a family, of which those that are not named are tried as slow tests."""
    family = list(values)
    assert set(names) <= {name(value) for value in family}, names
    return [value if name(value) in names else pytest.param(value, marks=pytest.mark.slow) for value in family]
