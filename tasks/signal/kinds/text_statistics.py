"""A statistic of a text: words, lines, repetition, and what C4 keeps."""

import difflib
from typing import Literal

from pydantic import Field, field_validator

from evenkeel.tasks.signal.signal import Fit, Numbers
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.text.signals import TextSignal, cost_of
from evenkeel.tasks.signal.text.statistics import (
    ENGLISH_STOP_WORDS,
    MOST_STOP_WORDS,
    STATISTICS,
    Measures,
)
from evenkeel.tasks.workload import Workload


class TextStatistics(TextSignal):
    """One statistic of a text, by its name: `of: words`, `of: duplicate_line_share`. docs/SIGNALS.md lists them."""

    kind: Literal["text-statistics"] = "text-statistics"
    of: str = Field(description="The statistic.", json_schema_extra={"enum": list(STATISTICS)})
    stop_words: list[str] = Field(
        list(ENGLISH_STOP_WORDS), max_length=MOST_STOP_WORDS, description="Words that `of: stop_words` counts."
    )
    short_line: int = Field(30, ge=0, description="Most characters of a short line, for `of: short_line_share`.")

    @field_validator("of")
    @classmethod
    def _known(cls, of: str) -> str:
        if of not in STATISTICS:
            close = difflib.get_close_matches(of, STATISTICS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(STATISTICS)}"
            raise ValueError(f"there is no statistic {of!r}; {hint}")
        return of

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Numbers:
        """Return the statistic of each text, NaN where there is none."""
        from evenkeel.tasks.signal.text.measure import text_statistics

        measures = Measures(stop_words=tuple(self.stop_words), short_line=self.short_line)
        return text_statistics(self.texts(source, block), [self.of], measures, fit.backend)[self.of]

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool."""
        return cost_of([self.of], work)
