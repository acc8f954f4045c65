"""The language of a text (langid.py, Lui and Baldwin 2012, ACL demo), as a group column."""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.text.identifying import IdentifiedSignal


class Language(IdentifiedSignal):
    """The language of a text, as a group: `en`, `de`, `zh`; `zxx` is what is no language, (none) what is too unsure."""

    makes_group: ClassVar[bool] = True

    kind: Literal["language"] = "language"
    min_confidence: float = Field(0, ge=0, le=1, description="A text whose language is less sure than this has none.")

    def compute(self, source: SignalSource, block: str, fit: Fit) -> pa.Array:
        """Return the code of the language of each text (ISO 639), null where there is none."""
        codes, found, confidence = self.identified(source, block, fit.backend)
        known = (found >= 0) & (confidence >= self.min_confidence)
        return pa.array(codes, pa.string()).take(pa.array(np.where(known, found, 0), mask=~known))
