"""How many examples a property is tried on: many by `make test-all`, an eighth of them otherwise."""

import os

THOROUGH = "EVENKEEL_THOROUGH_TESTS" in os.environ


def most(examples: int) -> int:
    """Return the number of examples of this run, of so many in a thorough one."""
    return examples if THOROUGH else max(12, examples // 8)
