"""The form of a recipe in the Prefect UI: the JSON schema of a recipe, arranged for people who fill it in.

Prefect draws a form from the JSON schema of a flow's parameters. It asks for that schema twice for each flow that is
imported, so it is made once in a process; and its server checks the schema of every deployment that is registered,
which takes seconds for one with all the fields of a recipe. So only deployments whose form people fill in have that.
"""

import copy
import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from evenkeel.flows.recipe import Recipe, RecipeFile
from evenkeel.tasks.sample.strategy import STRATEGIES

Schema = dict[str, Any]
DEFAULT, OFF = "default", "off"
TABS = 6
"""Alternatives beside one another: more would be wider than the page, so they are put into groups by their names."""
NULL = re.compile(r"[;,.]? ?\bnull(?: =|:| moves)[^.;]*")


class _Form:
    """Marks the parameter of a flow that is a recipe: its JSON schema is that of a form."""

    def __init__(self, schema: Callable[[], Schema]) -> None:
        self.schema = schema

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return copy.deepcopy(self.schema())


def without_defaults(value: object) -> object:
    """Return a recipe as the form sends it without the sections that were left as they come."""
    if not isinstance(value, dict):
        return value
    return {name: one for name, one in value.items() if one is not None or name not in _folded()}


def short_form() -> Schema:
    """Return the JSON schema of a form that asks for the file of a recipe; the flow checks what it is given.

    A whole recipe is accepted too, for programs: as one alternative of two the form would show it as a box of JSON.
    """
    open_to_more = {name: value for name, value in _file().items() if name not in ("additionalProperties", "required")}
    return {**open_to_more, "minProperties": 1}


@cache
def form() -> Schema:
    """Return the JSON schema of the form: a recipe file first, then the fields of a recipe, the needed ones first.

    Sections that need not be filled in are one tab until they are opened, alternatives are in groups that fit the page,
    a choice of one is shown as such, and descriptions speak of what is seen there.
    """
    recipe = _arranged(_inlined(Recipe.model_json_schema()))
    needed = recipe["required"]
    fields = {name: recipe["properties"][name] for name in needed}
    for name, field in recipe["properties"].items():
        if name not in needed:
            fields[name] = _fold(field, DEFAULT) if name in _folded() else field
    strategy = fields["sampling"]["properties"]["strategy"]
    names = {"title": "by name", "type": "string", "enum": STRATEGIES.names(), "default": "balanced"}
    fields["sampling"]["properties"]["strategy"] = {
        **strategy,
        "anyOf": [names, *strategy["anyOf"]],
        "default": "balanced",
    }
    fields = {name: {**field, "position": place} for place, (name, field) in enumerate(fields.items())}
    return {"anyOf": [_file(), {**recipe, "properties": fields}]}


AnyRecipe = Annotated[RecipeFile | Recipe, BeforeValidator(without_defaults), _Form(short_form)]
"""The parameter of a flow: the file of a recipe, or the recipe itself."""
RecipeForm = Annotated[RecipeFile | Recipe, BeforeValidator(without_defaults), _Form(form)]
"""The same, with a form that shows every field of a recipe."""


def _file() -> Schema:
    found: Schema = _arranged(_inlined(RecipeFile.model_json_schema()))
    return found


@cache
def _folded() -> frozenset[str]:
    """Return the sections of a recipe that have fields of their own and a default for all of them."""
    schema = Recipe.model_json_schema()
    return frozenset(
        name
        for name, field in schema["properties"].items()
        if name not in schema["required"] and ("$ref" in field or (_choices(field) and not _optional(field)))
    )


def _choices(field: Schema) -> list[Schema]:
    return list(field.get("anyOf", []))


def _optional(field: Schema) -> bool:
    return any(one.get("type") == "null" for one in _choices(field))


def _fold(field: Schema, title: str) -> Schema:
    """Return a section as a tab that leaves it as it comes, and one or more that change it."""
    inner = {name: value for name, value in field.items() if name not in ("default", "description")}
    choices = _choices(field) or [{**inner, "title": "change"}]
    about: Schema = {name: field[name] for name in ("description", "title") if name in field}
    return {**about, "anyOf": [{"title": title, "type": "null"}, *choices], "default": None}


def _inlined(schema: Schema) -> Schema:
    """Return a schema with every reference replaced by what it refers to; one to itself becomes any object."""
    known = schema.get("$defs", {})

    def inline(value: Any, above: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [inline(one, above) for one in value]
        if not isinstance(value, dict):
            return value
        if "$ref" not in value:
            return {name: inline(_titled(one, name), above) for name, one in value.items() if name != "$defs"}
        name = value["$ref"].rpartition("/")[2]
        beside = {key: inline(one, above) for key, one in value.items() if key != "$ref"}
        if name in above:
            return {"type": "object", **beside}
        return {**inline(known[name], (*above, name)), **beside}

    found: Schema = inline(schema, ())
    return found


def _titled(value: Any, name: str) -> Any:
    """Return the properties of an object with titles of their own; a section's would be the name of its class."""
    if name != "properties" or not isinstance(value, dict):
        return value
    return {field: {"title": field.replace("_", " ").title(), **about} for field, about in value.items()}


def _arranged(schema: Any) -> Any:
    """Return a schema as people should see it, at every depth."""
    if isinstance(schema, list):
        return [_arranged(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _arranged(value) for name, value in schema.items()}
    if isinstance(fields := found.get("properties"), dict) and (needed := found.get("required")):
        first = sorted(fields, key=lambda name: name not in needed)
        found["properties"] = {name: {**fields[name], "position": place} for place, name in enumerate(first)}
    if isinstance(found.get("description"), str):
        found["description"] = NULL.sub("", found["description"]).strip()
    if isinstance(found.get("oneOf"), list):
        found["anyOf"] = found.pop("oneOf")
        found.pop("discriminator", None)
    if isinstance(choices := found.get("anyOf"), list):
        none = [{"title": OFF, "type": "null"} for one in choices if one.get("type") == "null"]
        rest = _groups([one for one in choices if one.get("type") != "null"])
        found["anyOf"] = [*none, *rest] if found.get("default", "") is None else [*rest, *none]
    if "const" in found:
        only = found.pop("const")
        found |= {"enum": [only], "default": only}
    return found


def _groups(choices: list[Schema]) -> list[Schema]:
    """Return alternatives as they are where they fit side by side, else in groups called after the first and last."""
    if len(choices) <= TABS:
        return choices
    groups = [choices[first : first + TABS] for first in range(0, len(choices), TABS)]
    return [{"title": f"{_called(each[0])} … {_called(each[-1])}", "anyOf": each} for each in groups]


def _called(choice: Schema) -> str:
    tags = [field["enum"][0] for field in choice.get("properties", {}).values() if len(field.get("enum", [])) == 1]
    return str(tags[0] if tags else choice.get("title", "?"))
