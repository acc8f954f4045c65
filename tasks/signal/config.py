"""The signals of a recipe, as a recipe and a step hold them."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from evenkeel.infra.registry import MemberOf
from evenkeel.tasks.signal.signal import SIGNALS, Signal

IMPLIED = {"join": "joined", "together": "together", "of": "expression", "mix": "mixture"}
OF_ENTRIES = {"of": "together", "uri": "entries", "values": "entries", "column": "tags"}


def _kind_implied(value: object) -> object:
    """Read `{name: x, join: ...}` as `{name: x, kind: joined, join: ...}`: an option of one kind alone implies it."""
    if isinstance(value, dict) and "kind" not in value:
        for option, kind in IMPLIED.items():
            if option in value:
                return {"kind": kind, **value}
    return value


def with_short_forms(document: dict[str, object]) -> dict[str, object]:
    """Return a recipe whose sections `entries`, `bins` and `labels`, shorter forms, are among its `signals`.

    Raises ValueError for an entry column that says neither where its entries come from nor its kind.
    """
    made = [*_entries(document.get("entries")), *_bins(document.get("bins")), *_labels(document.get("labels"))]
    rest = {name: value for name, value in document.items() if name not in ("entries", "bins", "labels")}
    signals = rest.get("signals") or []
    return {**rest, "signals": [*signals, *made]} if made and isinstance(signals, list) else rest


def _labels(written: object) -> list[object]:
    """Read `labels: {uri: labelled.parquet, id: id, label: label}`; a list holds several.

    asked_by: the column that says which rule asked for a row, which becomes a group column `asked` of its own.
    """
    listed = written if isinstance(written, list) else [] if written is None else [written]
    called, made = {"uri": "join", "id": "on", "label": "column"}, list[object]()
    for one in listed:
        if not isinstance(one, dict) or "uri" not in one:
            raise ValueError("labels: expected where they are, such as {uri: labelled.parquet, id: id, label: label}")
        options = {called.get(name, name): value for name, value in one.items() if name != "asked_by"}
        made.append({"kind": "labels", **options})
        if "asked_by" in one:
            prefix = f"{one['name']}_" if "name" in one else ""
            made.append(
                {"kind": "labels", **options, "name": f"{prefix}asked", "column": one["asked_by"], "optional": True}
            )
    return made


def _bins(written: object) -> list[object]:
    if written is None:
        return []
    if not isinstance(written, dict) or not all(isinstance(one, dict) for one in written.values()):
        raise ValueError("bins: expected columns with a rule each, such as {length: {quantiles: 10}}")
    return [{"name": name, "kind": "bins", **rule} for name, rule in written.items()]


def _entries(written: object) -> list[object]:
    if written is None:
        return []
    if not isinstance(written, list) or not all(isinstance(one, dict) for one in written):
        raise ValueError("entries: expected a list, such as [{name: concepts, uri: entries.txt}]")
    made: list[object] = []
    for one in written:
        kinds = [kind for option, kind in OF_ENTRIES.items() if option in one]
        if "kind" not in one and not kinds:
            raise ValueError(f"entries: {one.get('name', one)} needs uri or values (match texts), column or of")
        made.append(one if "kind" in one else {"kind": kinds[0], **one})
    return made


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
