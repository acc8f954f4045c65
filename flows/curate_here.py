"""The main flow as the command line calls it: no schema of its parameters is drawn up, which takes a second."""

from typing import Any

from prefect import flow

from evenkeel.flows.curation import curate_source, run_name
from evenkeel.flows.failures import explained


@flow(name="curate", flow_run_name=run_name, persist_result=True, result_serializer="json", validate_parameters=False)
@explained
def curate_here(recipe: Any, force: bool) -> dict[str, Any]:
    """Curate the pool of a `Recipe`, which is one already, and publish the version."""
    return curate_source(recipe, force=force, dry_run=False, if_busy="wait")
