"""How a run fails for a reason that is known: its state and an artifact say the reason and the remedy, no traceback."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from prefect.artifacts import create_markdown_artifact
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Failed

from evenkeel.flows.artifacts import show
from evenkeel.infra.errors import EvenkeelError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def explained(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return the function of a flow that ends a run as Failed, with the reason, where it raises an EvenkeelError.

    Whoever calls the flow in this process gets the error itself. Any other error keeps its traceback.
    """

    @wraps(function)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except EvenkeelError as error:
            if FlowRunContext.get() is None:
                raise
            get_run_logger().error("%s", error)
            show(create_markdown_artifact, page(error), key="failure", description=error.message[:200])
            return cast(Result, Failed(message=str(error), data=error))  # what Prefect takes

    return run


def page(error: EvenkeelError) -> str:
    """Return what an error says as Markdown: the reason, what was expected and found, where, and the remedy."""
    parts = [("Expected", error.expected), ("Found", error.found), ("Where", error.where), ("What to do", error.remedy)]
    listed = "\n".join(f"- **{label}**: {text}" for label, text in parts if text)
    return f"### {type(error).__name__}: {error.message}\n\n{listed}\n"
