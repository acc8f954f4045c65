"""Events that a run emits to the Prefect server, for automations to act on."""

from prefect.events import emit_event

from evenkeel.flows.lineage import Lineage
from evenkeel.flows.recipe import Recipe


def emit(recipe: Recipe, what: str, payload: dict[str, object]) -> None:
    """Emit `evenkeel.version.<what>`: a version was published or blocked, or the pool has drifted."""
    resource = {
        "prefect.resource.id": f"evenkeel.dataset.{recipe.dataset}",
        "prefect.resource.name": recipe.dataset,
    }
    emit_event(f"evenkeel.version.{what}", resource=resource, payload={"dataset": recipe.dataset, **payload})


def emit_drift(recipe: Recipe, lineage: Lineage) -> None:
    """Emit that the pool has drifted too far from the clusters there were."""
    drift = None if lineage.drift is None else lineage.drift.model_dump()
    emit(recipe, "drifted", {"since": lineage.changes.since, "reason": lineage.why, "drift": drift})
