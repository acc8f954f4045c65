"""Which rule asked for the label of each row, where rules take turns (TAILOR, arXiv 2302.07317)."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.tables import read_range
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.column import Column
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.sample.labelling.options import ASKED
from evenkeel.tasks.signal.signal import Fit

COLUMN = "ek_asked_by"


class Asked(Annotation):
    """The rule that asked for each row, and the round; the strategy to-label by tailor brings it."""

    of_draw: ClassVar[bool] = True

    kind: Literal["asked"] = "asked"

    def writes(self) -> list[Column]:
        """Return the column of rule and round."""
        return [Column(COLUMN, "string", "the rule that asked for its label, and in which round, such as anchors:3")]

    def compute(self, source: AnnotationSource, block: str, fit: Fit) -> Mapping[str, pa.Array]:
        """Return the rule of each row, null for one that no rule asked for, such as a row that must be kept."""
        ids = pa.array(source.row_ids(block))
        if not len(ids):
            return {COLUMN: pa.array([], pa.string())}
        uri = storage.join(source.inputs.sample.uri, f"{ASKED}.parquet")
        asked = read_range(uri, ids[0].as_py(), ids[-1].as_py())
        place = pc.index_in(ids, value_set=asked["row_id"].combine_chunks())
        return {COLUMN: asked["asked_by"].combine_chunks().take(place)}
