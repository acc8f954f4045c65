"""The steps that made a version; the selection and distances of a republished one are those of its own rows."""

from collections.abc import Mapping, Sequence

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError, StorageError
from evenkeel.infra.tables import write_table
from evenkeel.infra.workspace import DONE, StepRef
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.distances import measure_distances
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.manifest import Manifest
from evenkeel.tasks.publish.table import Version
from evenkeel.tasks.step import Run
from evenkeel.tasks.versions.as_steps import write_selection
from evenkeel.tasks.versions.listing import read_manifest

REPUBLISHED = "republished"
POOL_STEPS = ("ingest", "embed", "cluster")


def steps_of(version: Version, folder: str) -> dict[str, StepRef]:
    """Return the steps of a version by name. folder: where the selection of a republished one is written.

    Its sample step drew the rows that were taken down since, so that these would be compared and evaluated as well.
    """
    manifest = read_manifest(version)
    steps = {name: StepRef.model_validate(one) for name, one in manifest.document["steps"].items()}
    if REPUBLISHED in manifest.document and "sample" in steps:
        place = storage.join(folder, f"selection-v{version.version}")
        write_selection(manifest.model_copy(update={"folder": version.location}), place)
        storage.write_json(storage.join(place, DONE), {})
        drawn = steps["sample"]
        key = f"{drawn.key}-v{version.version}"
        counts = {**drawn.counts, "kept": manifest.counts["kept"], "copies": manifest.counts["copies"]}
        steps["sample"] = drawn.model_copy(update={"uri": place, "key": key, "counts": counts})
    return steps


def require_steps(steps: Mapping[str, StepRef], what: str) -> None:
    """Raise StorageError where a step that a version was made by is gone from the workspace."""
    for name in (*POOL_STEPS, "sample"):
        if not storage.exists(storage.join(steps[name].uri, DONE)):
            raise StorageError(
                f"what {what} was made from is gone from the workspace",
                where=steps[name].uri,
                remedy="run the recipe again",
            )


def measure_again(
    manifest: Manifest,
    sample: StepRef,
    previous: StepRef,
    measured: StepRef,
    distances: Sequence[tuple[str, str]],
    run: Run,
) -> bool:
    """Write the distances and sums of a republished version to its profile, where the vectors are in the workspace.

    manifest: of the version it is made from. sample: its selection. previous: the profile that it is compared with.
    measured: its own profile. Returns whether the vectors are there.
    """
    steps = {name: StepRef.model_validate(one) for name, one in manifest.document["steps"].items()}
    if not all(
        name in steps and storage.exists(storage.join(steps[name].uri, DONE)) for name in (*POOL_STEPS, "dedup")
    ):
        return False
    inputs = MeasureInputs.of(
        {**{name: steps[name] for name in (*POOL_STEPS, "dedup")}, "sample": sample, "previous": previous}
    )
    config = MeasureConfig(target=_target(manifest), distances=list(distances))
    sketch = Profile.open(measured).sketch()
    tables = measure_distances(config, inputs, sketch, storage.join(measured.uri, "distances"), run)
    for name, table in zip(("distances", "sums"), tables, strict=True):
        write_table(storage.join(measured.uri, f"{name}.parquet"), table)
    return True


def _target(manifest: Manifest) -> TargetSet | None:
    """Return the target set of the recipe, None where it has none or its files are gone."""
    given = manifest.recipe.get("target_set")
    try:
        return None if given is None else TargetSet.model_validate(given).current()
    except InputError:
        return None
