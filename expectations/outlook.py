"""What is known of a version before it is made, and an expectation that it cannot meet whatever is drawn."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Outlook:
    """What is known of a version before any row is drawn.

    rows: of the source; `exact` where all were counted. kept: rows to keep. most: rows that can be kept within the
    limits of the recipe. clusters: of every level, finest first. uris: of the shards. last_read: rows that the last
    version read, None without one. shards: the table of that name, once the source has been read.
    """

    rows: int
    exact: bool
    kept: int
    most: int
    clusters: tuple[int, ...]
    uris: tuple[str, ...] = ()
    last_read: int | None = None
    shards: "pd.DataFrame | None" = None

    def classes(self, scope: str) -> int | None:
        """Return the number of clusters of a level, None for a scope that is not one of them."""
        level = scope.removeprefix("level-")
        known = level != scope and level.isdigit() and 1 <= int(level) <= len(self.clusters)
        return self.clusters[int(level) - 1] if known else None


class Obstacle(BaseModel):
    """An expectation that the coming version cannot meet, why, and what to change.

    stops: whether the run itself stops for it, before any gate.
    """

    model_config = ConfigDict(frozen=True)

    expectation: str
    severity: Literal["warn", "block"]
    why: str
    remedy: str
    stops: bool = False

    def summary(self) -> str:
        """Return it as one line."""
        return f"{self.expectation}: {self.why}; {self.remedy}"
