"""Published versions as a coming one sees them: the profile it is compared with, and their line in its history."""

from collections.abc import Iterable

from evenkeel.infra import storage
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.publish.layout import CLUSTERS
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.report.cluster_names import NAMES
from evenkeel.tasks.report.config import PastVersion
from evenkeel.tasks.versions.listing import read_manifest

MAX_HISTORY = 10


def profile_of(version: Version) -> StepRef:
    """Return the profile of a published version as an input for steps, keyed by the version's own checksum."""
    manifest = read_manifest(version)
    facts = {
        "centroid_hash": manifest.centroid_hash,
        "version": version.version,
        "sampling": manifest.recipe.get("sampling"),
        NAMES: storage.join(version.location, CLUSTERS),
    }
    return StepRef(step="previous", key=version.manifest_sha256[:20], uri=version.profile, facts=facts)


def past_versions(versions: Iterable[Version]) -> list[PastVersion]:
    """Return what the card says of the last ten of some versions, oldest first."""
    ordered = sorted(versions, key=lambda version: version.version)
    return [_past(version) for version in ordered[-MAX_HISTORY:]]


def _past(version: Version) -> PastVersion:
    metrics = {name: value for name, value in version.metrics.items() if isinstance(value, float)}
    return PastVersion(
        version=version.version,
        created=version.created,
        rows=version.rows,
        folder=version.location.rstrip("/").rpartition("/")[2],
        metrics=metrics,
    )
