"""The fixtures of published versions."""

from tests.publish.fixtures import destination, publish_one, run, workspace
from tests.reading.libraries import quiet_hub, result, version

__all__ = ["destination", "publish_one", "quiet_hub", "result", "run", "version", "workspace"]
