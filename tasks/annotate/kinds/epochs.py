"""Read a fresh random subset in each epoch: a row is in epoch e where hash(seed + e, id) is below the share.

Source: repeated sampling of random subsets (RS2, arXiv 2305.18424). It writes no column: readers decide by the id.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.step import Run


class Epochs(Annotation):
    """The share of the rows that each epoch reads afresh, which the manifest and the card say."""

    kind: Literal["epochs"] = "epochs"
    fresh: float = Field(gt=0, le=1, description="Share of the rows that an epoch reads: `stream(fresh=...)`.")

    def fit(self, source: AnnotationSource, folder: str, run: Run) -> Mapping[str, object]:
        """Return the share, the rows to expect in an epoch, and the share of rows that ten epochs see."""
        return {"fresh": self.fresh, "rows": round(self.fresh * source.kept_rows), "seen": 1 - (1 - self.fresh) ** 10}
