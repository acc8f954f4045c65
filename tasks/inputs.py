"""What a step builds on: a dataclass of references, checked when it is made."""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from evenkeel.infra.errors import StepError
from evenkeel.infra.workspace import StepRef


@dataclass(frozen=True)
class MadeBy:
    """The steps that an input may come from: `Annotated[StepRef, MadeBy("cluster", "assign")]`."""

    steps: tuple[str, ...]

    def __init__(self, *steps: str) -> None:
        object.__setattr__(self, "steps", steps)


@dataclass(frozen=True)
class Inputs:
    """The finished steps that a step builds on.

    A step's own inputs are a frozen dataclass below this one, one field per input: `StepRef`, or
    `StepRef | None = None` where the step does without. An input comes from the step of its name, or from those that
    `MadeBy` names. Raises StepError where a reference is missing or comes from another step.
    """

    def __post_init__(self) -> None:
        for name, (steps, needed) in _declared(type(self)).items():
            ref = getattr(self, name)
            if ref is None and not needed:
                continue
            if not isinstance(ref, StepRef) or ref.step not in steps:
                raise StepError(
                    f"{type(self).__name__}.{name} is not what the step builds on",
                    expected=f"a reference to a finished {' or '.join(steps)} step",
                    found=f"one to {ref.step}/{ref.key}" if isinstance(ref, StepRef) else repr(ref),
                )

    @classmethod
    def of(cls, finished: Mapping[str, StepRef]) -> Self:
        """Return these inputs out of finished steps by name. Raises StepError where a needed one is not among them."""
        declared = _declared(cls)
        if missing := [name for name, (_, needed) in declared.items() if needed and name not in finished]:
            raise StepError(
                f"{cls.__name__} needs steps that are not finished",
                expected=", ".join(missing),
                found=", ".join(finished) or "none",
            )
        return cls(**{name: finished[name] for name in declared if name in finished})

    def present(self) -> dict[str, StepRef]:
        """Return the references by name, without those that the step does without."""
        named = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: ref for name, ref in named.items() if ref is not None}


@dataclass(frozen=True)
class NoInputs(Inputs):
    """What a step builds on that reads a source and nothing else."""


def _declared(inputs: type[Inputs]) -> dict[str, tuple[tuple[str, ...], bool]]:
    """Return for each input by name: the steps that it may come from, and whether it is needed."""
    hints = typing.get_type_hints(inputs, include_extras=True)
    return {field.name: _read(field.name, hints[field.name]) for field in dataclasses.fields(inputs)}


def _read(name: str, hint: object) -> tuple[tuple[str, ...], bool]:
    parts = [hint, *typing.get_args(hint)]
    made = [mark for part in parts for mark in getattr(part, "__metadata__", ()) if isinstance(mark, MadeBy)]
    return made[0].steps if made else (name,), type(None) not in parts
