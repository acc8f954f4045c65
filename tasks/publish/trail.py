"""What people and runs did to a dataset's versions: an audit trail, and the version that is held, in the table itself.

Both are properties of the Iceberg table, written in the very commit that does what they tell. Each entry of the trail
is a property of its own, so that two commits at once cannot lose each other's; the oldest give way.
"""

import getpass
import secrets
import socket
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import RemovePropertiesUpdate, SetPropertiesUpdate, TableUpdate

HISTORY_PREFIX = "evenkeel.history."
HELD_PROPERTY = "evenkeel.held"
MAX_ENTRIES = 200
MAX_REASON = 500
STAMP = len("2026-03-31T00:00:00.000000+00:00")

Action = Literal[
    "published",
    "approved",
    "rolled back",
    "promoted",
    "untagged",
    "held",
    "released",
    "took down",
    "pruned",
    "restored",
    "repaired",
]


class Entry(BaseModel):
    """One thing that was done. when: ISO 8601, UTC. version: which it was done to, None where to no single one."""

    model_config = ConfigDict(frozen=True)

    when: str
    who: str
    action: Action
    version: int | None = None
    previous: int | None = None
    reason: str = ""
    tag: str = ""


class Hold(BaseModel):
    """The version that stays current until it is released, and who holds it since when and why."""

    model_config = ConfigDict(frozen=True)

    version: int
    who: str
    when: str
    reason: str = ""

    @property
    def sentence(self) -> str:
        """Say who holds which version, and why."""
        return f"v{self.version} is held as current by {self.who}" + (f": {self.reason}" if self.reason else "")


def user() -> str:
    """Return who is doing this: user@host."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def entry(
    action: Action, version: int | None = None, *, previous: int | None = None, reason: str = "", tag: str = ""
) -> Entry:
    """Return an entry of this moment by this user; a long reason is cut."""
    when = datetime.now(UTC).isoformat(timespec="microseconds")
    cut = reason if len(reason) <= MAX_REASON else reason[: MAX_REASON - 1] + "…"
    return Entry(when=when, who=user(), action=action, version=version, previous=previous, reason=cut, tag=tag)


def record(metadata: TableMetadata, *entries: Entry) -> tuple[TableUpdate, ...]:
    """Return the updates that add entries to the trail and remove the oldest beyond the last 200."""
    if not entries:
        return ()
    known = sorted(name for name in metadata.properties if name.startswith(HISTORY_PREFIX))
    last = known[-1].removeprefix(HISTORY_PREFIX)[:STAMP] if known else ""
    added = {
        f"{HISTORY_PREFIX}{_after(last, one.when)}-{number:02d}-{secrets.token_hex(3)}": one.model_dump_json(
            exclude_defaults=True
        )
        for number, one in enumerate(entries)
    }
    old = known[: max(0, len(known) + len(added) - MAX_ENTRIES)]
    removed = (RemovePropertiesUpdate(removals=old),) if old else ()
    return (SetPropertiesUpdate(updates=added), *removed)


def _after(last: str, when: str) -> str:
    """Return the moment by which an entry is sorted: its own, or where the clock has run back, just after the last."""
    return (
        when
        if when > last
        else (datetime.fromisoformat(last) + timedelta(microseconds=1)).isoformat(timespec="microseconds")
    )


def read_trail(metadata: TableMetadata) -> list[Entry]:
    """Return what was done, newest first."""
    names = sorted((name for name in metadata.properties if name.startswith(HISTORY_PREFIX)), reverse=True)
    return [Entry.model_validate_json(metadata.properties[name]) for name in names]


def read_hold(metadata: TableMetadata) -> Hold | None:
    """Return the version that is held, None where none is."""
    text = metadata.properties.get(HELD_PROPERTY)
    return None if text is None else Hold.model_validate_json(text)


def trail_properties(metadata: TableMetadata) -> dict[str, str]:
    """Return the properties of a table that hold its audit trail."""
    return {name: text for name, text in metadata.properties.items() if name.startswith(HISTORY_PREFIX)}


def hold(one: Entry | Hold, version: int) -> tuple[TableUpdate, ...]:
    """Return the updates that hold a version for the reason of an entry of the trail, or of another hold."""
    held = Hold(version=version, who=one.who, when=one.when, reason=one.reason)
    return (SetPropertiesUpdate(updates={HELD_PROPERTY: held.model_dump_json()}),)


def release(metadata: TableMetadata) -> tuple[TableUpdate, ...]:
    """Return the updates that release the version that is held."""
    return (RemovePropertiesUpdate(removals=[HELD_PROPERTY]),) if HELD_PROPERTY in metadata.properties else ()
