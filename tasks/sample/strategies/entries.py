"""Balance by the tags of rows: rare tags keep all their rows, frequent ones about t each.

Source: MetaCLIP (arXiv 2309.16671) for the chances; ADR (arXiv 2503.12821) for several perspectives at once, such as
tokens, objects and pairs of objects: a row is kept if any tag of any perspective passes it.
"""

from typing import Literal

from pydantic import Field

from evenkeel.tasks.sample.by_tags import ByTags


class Entries(ByTags):
    """Keep rows by how rare their tags are, over one or several signals that are tags."""

    name: Literal["entries"] = "entries"
    over: list[str] = Field(min_length=1, description="Signals that are tags (section entries); any passes a row.")

    def perspectives(self) -> list[str]:
        """Return the signals whose tags pass rows."""
        return list(dict.fromkeys(name.removeprefix("tags.") for name in self.over))
