"""The fixtures of published versions."""

from tests.publish.fixtures import destination, publish_from, publish_one, run, workspace

__all__ = ["destination", "publish_from", "publish_one", "run", "workspace"]
