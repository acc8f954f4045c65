"""Events that flows and commands emit to the Prefect server, for automations to act on."""

import os
from typing import TYPE_CHECKING, Literal

from evenkeel.flows.lineage import Lineage
from evenkeel.flows.recipe import Recipe
from evenkeel.tasks.publish.trail import user

if TYPE_CHECKING:
    from evenkeel.flows.mixing import MixState
    from evenkeel.tasks.publish.publish import PublishResult
    from evenkeel.tasks.publish.table import Version
    from evenkeel.tasks.versions.tags import Moved
    from evenkeel.tasks.versions.takedown import Takedown

What = Literal["published", "rolled-back", "promoted", "withdrawn", "held", "released", "blocked", "drifted"]
SECONDS = 10.0


def emit(dataset: str, what: What, payload: dict[str, object]) -> None:
    """Emit `evenkeel.version.<what>` for a dataset; without a Prefect server (PREFECT_API_URL) nothing is emitted.

    Outside a run, waits until the server has it, ten seconds at most: the process of a command ends soon after.
    """
    _emit(dataset, f"evenkeel.version.{what}", payload)


def emit_proposed(recipe: Recipe, state: "MixState") -> None:
    """Emit `evenkeel.mixture.proposed`: the trials of a round are published and wait to be trained on."""
    payload = state.model_dump(mode="json", include={"round", "loop", "trials"})
    _emit(recipe.dataset, "evenkeel.mixture.proposed", payload)


def emit_complete(recipe: Recipe, number: int) -> None:
    """Emit `evenkeel.mixture.complete`: every trial of a round has a score."""
    _emit(recipe.dataset, "evenkeel.mixture.complete", {"round": number})


def emit_settled(recipe: Recipe, state: "MixState") -> None:
    """Emit `evenkeel.mixture.settled`: the loop has ended, with a mixture that a person may approve."""
    payload = state.model_dump(mode="json", include={"round", "loop", "settled", "sentence"})
    _emit(recipe.dataset, "evenkeel.mixture.settled", payload)


def _emit(dataset: str, event: str, payload: dict[str, object]) -> None:
    from prefect.context import FlowRunContext

    inside = FlowRunContext.get() is not None
    if not inside and not os.environ.get("PREFECT_API_URL"):
        return
    from prefect.events import emit_event
    from prefect.events.worker import EventsWorker

    resource = {"prefect.resource.id": f"evenkeel.dataset.{dataset}", "prefect.resource.name": dataset}
    emit_event(event, resource=resource, payload={"dataset": dataset, **payload})
    if not inside:
        EventsWorker.drain_all(timeout=SECONDS, at_exit=False)


def emit_published(published: "PublishResult") -> None:
    """Emit that a version was published, if it was; one that lies beside a held version says so."""
    if published.status not in ("published", "beside", "reinstated"):
        return
    fields = {"version", "previous", "location", "rows", "reason", "who"}
    payload = published.model_dump(mode="json", include=fields)
    emit(published.dataset, "published", {**payload, "current": published.status != "beside"})


def emit_moved(moved: "Moved", what: What) -> None:
    """Emit what was done to a version that is there already, as the audit trail tells it."""
    one, tag = moved.entry, {"tag": moved.entry.tag} if moved.entry.tag else {}
    emit(moved.dataset, what, {**_place(moved), "previous": one.previous, "reason": one.reason, "who": one.who, **tag})


def emit_withdrawn(known: "list[Version]", found: "Takedown", reason: str) -> None:
    """Emit which versions hold rows that were taken down, and the version that was published without them."""
    replaced = found.republished.version if found.republished is not None else None
    for version in known:
        if (gone := found.held.get(version.version)) is not None:
            told = {"previous": None, "reason": reason, "who": user(), "taken_down": len(gone), "replaced_by": replaced}
            emit(version.dataset, "withdrawn", {**_place(version), **told})
    if found.republished is not None:
        emit_published(found.republished)


def _place(version: "Version") -> dict[str, object]:
    return version.model_dump(mode="json", include={"version", "location", "rows"})


def emit_blocked(recipe: Recipe, failed: list[dict[str, object]], card: str) -> None:
    """Emit that a run made a version that is not published, and why."""
    reason = "; ".join(str(one["reason"]) for one in failed)
    payload: dict[str, object] = {"version": None, "reason": reason, "who": user(), "failed": failed, "card": card}
    emit(recipe.dataset, "blocked", payload)


def emit_drift(recipe: Recipe, lineage: Lineage) -> None:
    """Emit that the pool has drifted too far from the clusters there were."""
    drift = None if lineage.drift is None else lineage.drift.model_dump()
    emit(recipe.dataset, "drifted", {"since": lineage.changes.since, "reason": lineage.why, "drift": drift})
