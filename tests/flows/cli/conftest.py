"""The fixtures of published versions."""

from tests.flows.published import recipe

__all__ = ["recipe"]
