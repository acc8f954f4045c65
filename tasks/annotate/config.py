"""The annotations of a recipe, as a recipe and a step hold them."""

import graphlib
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.registry import MemberOf
from evenkeel.tasks.annotate.annotation import ANNOTATIONS, Annotation

SECTIONS = ("stages", "order", "epochs", "splits", "weights", "match", "pairs", "made")

AnyAnnotation = Annotated[Annotation, MemberOf(ANNOTATIONS)]


def with_sections(document: dict[str, object]) -> dict[str, object]:
    """Return a recipe whose sections such as `splits`, shorter forms of annotations, are among its `annotations`.

    Raises ValueError for a section that is no kind of annotation, or holds no options.
    """
    given = [name for name in SECTIONS if document.get(name) is not None]
    made: list[object] = []
    for name in given:
        try:
            kind = ANNOTATIONS.get(name)
        except RecipeError as error:
            raise ValueError(f"{name}: {error.message}; {error.remedy}") from error
        for one in kind.from_section(document[name]):
            if not isinstance(one, dict):
                raise ValueError(f"{name}: expected options, such as {{name: value}}, found {one!r}")
            made.append({"kind": name, **one})
    rest = {name: value for name, value in document.items() if name not in SECTIONS}
    listed = rest.get("annotations") or []
    return {**rest, "annotations": [*listed, *made]} if made and isinstance(listed, list) else rest


def in_order(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Return annotations so that each comes after those that it follows. Raises ValueError for those in a circle."""
    by_label = {one.label: one for one in annotations}
    graph = {
        one.label: [other.label for other in annotations if other.kind in one.follows() and other is not one]
        for one in annotations
    }
    try:
        return [by_label[label] for label in graphlib.TopologicalSorter(graph).static_order()]
    except graphlib.CycleError as error:
        raise ValueError(f"annotations follow each other in a circle: {', '.join(error.args[1])}") from error


def check_apart(annotations: list[Annotation]) -> None:
    """Raise ValueError where two have one name or column, follow each other, or a column is no `ek_` column."""
    labels: set[str] = set()
    columns: dict[str, str] = {}
    for one in annotations:
        if one.label in labels:
            raise ValueError(f"annotations: there are two called {one.label!r}; keep one, or give them names")
        labels.add(one.label)
        for column in one.writes():
            if not column.name.startswith("ek_") or column.name.startswith("ek_signal_"):
                raise ValueError(f"annotations: {one.label} writes {column.name!r}; its columns begin with ek_")
            if column.name in columns:
                raise ValueError(f"annotations: {one.label} and {columns[column.name]} both write {column.name}")
            columns[column.name] = one.label
    in_order(annotations)


class AnnotationRequest(BaseModel):
    """What the annotate step is called with: the annotation, and the version of the code of its kind."""

    model_config = ConfigDict(extra="forbid")

    annotation: AnyAnnotation
    version: int

    @classmethod
    def of(cls, annotation: Annotation) -> "AnnotationRequest":
        """Return the request for an annotation, with the fingerprints of the files that it reads."""
        return cls(annotation=annotation.current(), version=annotation.version)
