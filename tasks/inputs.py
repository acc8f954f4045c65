"""What a step builds on: a dataclass of references, checked when it is made."""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from evenkeel.infra.errors import StepError
from evenkeel.infra.workspace import StepRef


@dataclass(frozen=True)
class MadeBy:
    """The steps that an input may come from: `Annotated[StepRef, MadeBy("cluster", "assign")]`."""

    steps: tuple[str, ...]

    def __init__(self, *steps: str) -> None:
        object.__setattr__(self, "steps", steps)


Signals = Annotated[Mapping[str, StepRef], MadeBy("signal")]


@dataclass(frozen=True)
class Inputs:
    """The finished steps that a step builds on.

    A step's own inputs are a frozen dataclass below this one, one field per input: `StepRef`, or
    `StepRef | None = None` where the step does without, or `Mapping[str, StepRef]` for any number of them by name. An
    input comes from the step of its name, or from those that `MadeBy` names. Raises StepError where a reference is
    missing or comes from another step.
    """

    def __post_init__(self) -> None:
        for field, (steps, needed) in _declared(type(self)).items():
            for name, ref in _flat(field, getattr(self, field)):
                self._check(name, ref, steps, needed)

    def _check(self, name: str, ref: object, steps: tuple[str, ...], needed: bool) -> None:
        if ref is None and not needed:
            return
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
        several = {name: _below(name, finished) for name in declared}
        given = {name: finished.get(name) or several[name] for name in declared}
        return cls(**{name: one for name, one in given.items() if one})

    def present(self) -> dict[str, StepRef]:
        """Return the references by name, one of several as `signals.loss`; without those that the step does without."""
        return flat_refs({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})


@dataclass(frozen=True)
class NoInputs(Inputs):
    """What a step builds on that reads a source and nothing else."""


def flat_refs(named: Mapping[str, object]) -> dict[str, StepRef]:
    """Return references by name, those of a mapping by its name and theirs; what is no reference is left out."""
    flat = dict(pair for name, one in named.items() for pair in _flat(name, one))
    return {name: ref for name, ref in flat.items() if isinstance(ref, StepRef)}


def _flat(name: str, one: object) -> list[tuple[str, object]]:
    return [(f"{name}.{key}", ref) for key, ref in one.items()] if isinstance(one, Mapping) else [(name, one)]


def _below(name: str, finished: Mapping[str, StepRef]) -> dict[str, StepRef]:
    return {key.removeprefix(f"{name}."): ref for key, ref in finished.items() if key.startswith(f"{name}.")}


def _declared(inputs: type[Inputs]) -> dict[str, tuple[tuple[str, ...], bool]]:
    """Return for each input by name: the steps that it may come from, and whether it is needed."""
    hints = typing.get_type_hints(inputs, include_extras=True)
    return {field.name: _read(field.name, hints[field.name]) for field in dataclasses.fields(inputs)}


def _read(name: str, hint: object) -> tuple[tuple[str, ...], bool]:
    parts = [hint, *typing.get_args(hint)]
    made = [mark for part in parts for mark in getattr(part, "__metadata__", ()) if isinstance(mark, MadeBy)]
    several = any(typing.get_origin(part) is Mapping for part in (hint, *parts))
    return made[0].steps if made else (name,), type(None) not in parts and not several
