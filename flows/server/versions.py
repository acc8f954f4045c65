"""The operations on versions as Prefect flows: each logs its sentence, shows it as an artifact, returns the details."""

import inspect
import json
import re
from collections.abc import Callable
from typing import Annotated, Any

from prefect import Flow, flow
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import Field
from pydantic_core import to_jsonable_python

from evenkeel.flows import approved as approving
from evenkeel.flows import feedback as scoring
from evenkeel.flows import repair as repairing
from evenkeel.flows import versions
from evenkeel.flows.answer import Answer
from evenkeel.flows.failures import explained
from evenkeel.flows.known import known_dataset
from evenkeel.flows.recipe import called
from evenkeel.flows.recipe_form import AnyRecipe
from evenkeel.tasks.publish.config import TAG_NAME

DATASET = "Name of the dataset, as the catalog page and `evenkeel versions` show it; or the path of its recipe."
Dataset = Annotated[str, Field(min_length=1)]
VersionName = Annotated[str, Field(pattern=f"^{TAG_NAME}$")]
ASKED = {"version": VersionName, "name": VersionName, "ids": list[str], "drop": list[str], "left_out": list[int]}
"""Fields with the types that a form can show and check at once: no version and no tag has another name."""


def as_flow(operation: Callable[..., Answer[Any]]) -> Flow[..., object]:
    """Return the flow of an operation on a dataset: its form asks for the name of the dataset instead of a recipe."""

    def run(dataset: str, *args: object, **kwargs: object) -> object:
        return _told(operation, known_dataset(dataset), *args, **kwargs)

    signature = inspect.signature(operation)
    first, *rest = signature.parameters.values()
    named = first.replace(name="dataset", annotation=Dataset)
    asked = [_asked(one) for one in rest]
    about = re.sub(rf"{first.name}: .*", f"dataset: {DATASET}", inspect.getdoc(operation) or "", count=1)
    return _flow(operation, run, signature.replace(parameters=[named, *asked], return_annotation=object), about)


def with_recipe(operation: Callable[..., Answer[Any]]) -> Flow[..., object]:
    """Return the flow of an operation, with its own parameters; one that is a recipe is the form of a recipe."""

    def run(*args: object, **kwargs: object) -> object:
        return _told(operation, *args, **kwargs)

    signature = inspect.signature(operation)
    asked = [
        one.replace(annotation=AnyRecipe) if one.name == "recipe" else _asked(one)
        for one in signature.parameters.values()
    ]
    return _flow(operation, run, signature.replace(parameters=asked, return_annotation=object), operation.__doc__ or "")


def _asked(one: inspect.Parameter) -> inspect.Parameter:
    lists = one.name in ("drop", "left_out")
    return one.replace(annotation=ASKED.get(one.name, one.annotation), default=[] if lists else one.default)


def _flow(
    operation: Callable[..., object], run: Callable[..., object], signature: inspect.Signature, about: str
) -> Flow[..., object]:
    name = operation.__name__

    def run_name() -> str:
        given = dict(flow_run.parameters)
        what = given.get("dataset") or called(given.get("recipe")) or given.get("destination", "")
        return " ".join(str(part) for part in (name, what, given.get("version"), given.get("name")) if part)

    run.__name__, run.__qualname__, run.__module__, run.__doc__ = name, name, __name__, about
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()} | {"return": object}
    return flow(name=name, flow_run_name=run_name)(explained(run))


def _told(operation: Callable[..., Answer[Any]], *args: object, **kwargs: object) -> object:
    answer = operation(*args, **kwargs)
    get_run_logger().info(answer.sentence)
    details = to_jsonable_python(answer.result)
    page = f"{answer.sentence}.\n\n```json\n{json.dumps(details, indent=2, ensure_ascii=False)}\n```\n"
    create_markdown_artifact(page, description=answer.sentence)
    return details


tag = as_flow(versions.tag)
rollback = as_flow(versions.rollback)
hold = as_flow(versions.hold)
release = as_flow(versions.release)
prune = as_flow(versions.prune)
takedown = as_flow(versions.takedown)
export = as_flow(versions.export)
restore = as_flow(versions.restore)
repair = with_recipe(repairing.repair)
feedback = with_recipe(scoring.feedback)
approve_mixture = with_recipe(approving.approve_mixture)
