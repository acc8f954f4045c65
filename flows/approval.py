"""A person's decision before a version becomes visible, asked for in the Prefect UI."""

from typing import Any

from prefect import suspend_flow_run
from prefect.context import FlowRunContext
from prefect.input import RunInput
from pydantic import Field

from infra.errors import GateFailed


class Decision(RunInput):
    """The form that the Resume button shows."""

    publish: bool = Field(description="Publish this version?")
    reason: str = Field("", description="Why, for the record.")


def decide(card: str, timeout_seconds: float) -> dict[str, Any]:
    """Suspend the flow run until a person has looked at the card and decided; return the decision.

    The run's process ends; resuming starts the flow anew, every finished step is found in the workspace, and the
    answer given is read here. Raises GateFailed where the answer is no, and where nobody could be asked because the
    run belongs to no deployment.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        raise GateFailed(
            "gates.approval is required, and a run started here has nobody to ask",
            remedy="run it as a deployment (evenkeel curate, or the Prefect UI), or --set gates.approval=none",
        )
    decision = suspend_flow_run(
        wait_for_input=Decision.with_initial_data(description=card, publish=False),
        timeout=int(timeout_seconds),
        key="approval",
    )
    if not decision.publish:
        raise GateFailed("a person declined this version; nothing was published", found=decision.reason or "no reason")
    return decision.model_dump(mode="json")
