"""The reference of recipe fields, written from the models: `python -m evenkeel.flows.recipe_docs`."""

import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from evenkeel.flows.recipe import Recipe
from evenkeel.infra.registry import MemberOf, NameOf

PAGE = Path(__file__).parent.parent / "docs" / "RECIPES.md"
ELSEWHERE = {"expectation"}  # kinds that have a reference of their own
MARK = "<!-- fields: written by `python -m evenkeel.flows.recipe_docs` -->"


def field_rows(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield (path, type, default, description) of every field of a recipe, sections before their fields."""
    for name, field in model.model_fields.items():
        if _only_value(field) is not None:
            continue
        path = f"{prefix}{name}"
        models = list(_models(field.annotation, field.metadata))
        yield path, _type_name(field.annotation, field.metadata), _default(field), field.description or ""
        for inner in models:
            label = path
            if len(models) > 1:
                label = f"{path}[{_tag(inner)}]"
                yield label, "section", "", (inner.__doc__ or "").split("\n\n")[0].replace("\n    ", " ").strip()
            yield from field_rows(inner, f"{label}.")


def table() -> str:
    """Return the reference as a Markdown table."""
    lines = ["| field | type | default | what it means |", "| --- | --- | --- | --- |"]
    for path, kind, default, description in field_rows():
        cells = (f"`{path}`", kind, default, description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """Return `page` with what follows the mark replaced by the reference of today."""
    return page.split(MARK)[0] + MARK + "\n\n" + table() + "\n"


def _models(annotation: object, marks: Iterable[object] = ()) -> Iterator[type[BaseModel]]:
    """Yield the models that a field can hold; of an open kind those that come with the product."""
    open_kinds = [mark.registry for mark in marks if isinstance(mark, MemberOf)]
    if open_kinds:
        yield from () if open_kinds[0].kind in ELSEWHERE else open_kinds[0].ours().values()
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) is Annotated:
        yield from _models(typing.get_args(annotation)[0], typing.get_args(annotation)[1:])
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, list, dict, tuple):
        for part in typing.get_args(annotation):
            yield from _models(part)


def _tag(model: type[BaseModel]) -> str:
    """Return what tells this member of a union from the others: the value of its only-one-value field, or its name."""
    tags = (_only_value(field) for field in model.model_fields.values())
    return next((tag for tag in tags if tag is not None), model.__name__)


def _only_value(field: FieldInfo) -> str | None:
    """Return the value of a field that can have only one: the tag of a member of a union."""
    if typing.get_origin(field.annotation) is typing.Literal and len(typing.get_args(field.annotation)) == 1:
        return str(typing.get_args(field.annotation)[0])
    return None


def _type_name(annotation: Any, marks: Iterable[object] = ()) -> str:
    for mark in marks:
        if isinstance(mark, NameOf):
            return ", ".join(f"`{name}`" for name in (*mark.also, *sorted(mark.registry.ours())))
    if annotation is type(None):
        return "none"
    if isinstance(annotation, type) and not typing.get_origin(annotation):
        return "section" if issubclass(annotation, BaseModel) else annotation.__name__
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is Annotated:
        return _type_name(parts[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type_name(part) for part in parts))
    inner = ", ".join(_type_name(part) for part in parts)
    return f"{getattr(origin, '__name__', origin)} of {inner}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.default is not PydanticUndefined:
        return f"`{field.default}`" if not isinstance(field.default, BaseModel) else ""
    made = field.get_default(call_default_factory=True, validated_data={})
    return "" if isinstance(made, BaseModel) else f"`{made}`"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
