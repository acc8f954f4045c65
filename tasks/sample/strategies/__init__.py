"""One small file per strategy, found by its name: `plan(options, candidates) -> Plan`."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from evenkeel.tasks.sample.plan import Candidates, Plan


def strategy(name: str) -> Callable[[Any, Candidates], Plan]:
    """Return the `plan` function of the strategy called `name`, such as "top-down"."""
    found: Callable[[Any, Candidates], Plan] = import_module(f"{__name__}.{name.replace('-', '_')}").plan
    return found
