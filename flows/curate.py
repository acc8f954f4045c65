"""The main flow, as it is deployed: the UI draws the form of its parameters from the types of their fields."""

from typing import Any, Literal

from prefect import flow

from evenkeel.flows.curation import curate_source, run_name
from evenkeel.flows.failures import explained
from evenkeel.flows.recipe_form import RecipeForm


@flow(name="curate", flow_run_name=run_name, persist_result=True, result_serializer="json")
@explained
def curate(
    recipe: RecipeForm,
    force: bool = False,
    dry_run: bool = False,
    if_busy: Literal["wait", "drop"] = "wait",
) -> dict[str, Any]:
    """Curate a pool into a balanced, validated, published version.

    Args:
        recipe: What to curate, how, and where to publish it; or the file that says so.
        force: Publish a new version even where nothing has changed since the last one.
        dry_run: Only say what a run would read and take, and what would not fit; curate and publish nothing.
        if_busy: Where another run of this dataset goes on, wait until it has ended, or drop this run as Cancelled.
    """
    return curate_source(recipe, force=force, dry_run=dry_run, if_busy=if_busy)
