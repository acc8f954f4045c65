"""The operations on versions as Prefect flows: each logs its sentence, shows it as an artifact, returns the details."""

import json
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from prefect import Flow, flow
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from pydantic_core import to_jsonable_python

from evenkeel.flows import approved as approving
from evenkeel.flows import feedback as scoring
from evenkeel.flows import repair as repairing
from evenkeel.flows import versions
from evenkeel.flows.answer import Answer, Result

Parameters = ParamSpec("Parameters")


def as_flow(operation: Callable[Parameters, Answer[Result]]) -> Flow[Parameters, object]:
    """Return the flow of an operation, under its name and with its parameters and their descriptions."""

    @wraps(operation)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> object:
        answer = operation(*args, **kwargs)
        get_run_logger().info(answer.sentence)
        details = to_jsonable_python(answer.result)
        page = f"{answer.sentence}.\n\n```json\n{json.dumps(details, indent=2, ensure_ascii=False)}\n```\n"
        create_markdown_artifact(page, description=answer.sentence)
        return details

    return flow(name=operation.__name__, flow_run_name=operation.__name__)(run)


tag = as_flow(versions.tag)
rollback = as_flow(versions.rollback)
hold = as_flow(versions.hold)
release = as_flow(versions.release)
prune = as_flow(versions.prune)
takedown = as_flow(versions.takedown)
export = as_flow(versions.export)
restore = as_flow(versions.restore)
repair = as_flow(repairing.repair)
feedback = as_flow(scoring.feedback)
approve_mixture = as_flow(approving.approve_mixture)
