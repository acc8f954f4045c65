"""The signals of a recipe, as a recipe and a step hold them."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from evenkeel.infra.registry import MemberOf
from evenkeel.tasks.signal.signal import SIGNALS, Signal

IMPLIED = {"join": "joined", "of": "expression", "mix": "mixture"}


def _kind_implied(value: object) -> object:
    """Read `{name: x, join: ...}` as `{name: x, kind: joined, join: ...}`: an option of one kind alone implies it."""
    if isinstance(value, dict) and "kind" not in value:
        for option, kind in IMPLIED.items():
            if option in value:
                return {"kind": kind, **value}
    return value


AnySignal = Annotated[Signal, MemberOf(SIGNALS), BeforeValidator(_kind_implied)]


class SignalRequest(BaseModel):
    """What the signal step is called with: the signal, and the version of the code of its kind."""

    model_config = ConfigDict(extra="forbid")

    signal: AnySignal
    version: int

    @classmethod
    def of(cls, signal: Signal) -> "SignalRequest":
        """Return the request for a signal, with the fingerprints of the files that it reads."""
        return cls(signal=signal.current(), version=signal.version)
