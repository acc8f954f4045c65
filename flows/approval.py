"""A person's decision before a version becomes visible, asked for in the Prefect UI."""

from prefect import suspend_flow_run
from prefect.context import FlowRunContext
from prefect.input import RunInput
from pydantic import Field

from evenkeel.infra.errors import GateFailed


class Decision(RunInput):
    """The form that the Resume button shows."""

    publish: bool = Field(description="On: this version becomes visible to readers. Off: it is declined.")
    reason: str = Field("", description="Why, for the record.")


def decide(card: str, content_key: str, hours: float) -> Decision:
    """Suspend the flow run until a person has looked at the card and decided; return the answer.

    The run's process ends; resuming starts the flow anew, every finished step is found in the workspace, and the
    answer is read here. An answer holds for the rows it was given for (`content_key`): where others come out of the
    second pass, as with shards that arrived meanwhile, it is asked for again. After `hours` without an answer the
    server fails the run. Raises GateFailed where the answer is no, and where nobody could be asked because the run
    belongs to no deployment.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        raise GateFailed(
            "gates.approval is required, and a run started here has nobody to ask",
            remedy="run it as a deployment (evenkeel curate, or the Prefect UI), or --set gates.approval=none",
        )
    answer = suspend_flow_run(
        wait_for_input=Decision.with_initial_data(description=card),
        timeout=max(1, int(hours * 3600)),
        key=f"approval-{content_key[:20]}",
    )
    if not answer.publish:
        raise GateFailed(
            "a person declined this version; nothing was published",
            found=answer.reason or "no reason given",
            remedy="change the recipe or the data, and run again",
        )
    return answer
