"""FineWeb's own rules (Penedo et al. 2024, arXiv 2406.17557, section 3.6), as the code that made the set has them.

The paper prints that a text leaves whose share of characters in duplicated lines is >= 0.1. The script that made the
set (datatrove, examples/fineweb.py) runs its filter with the defaults of the code, where that threshold is 0.01.
"""

from typing import Literal

from pydantic import Field

from evenkeel.tasks.signal.text.rules import Rule, rules_of
from evenkeel.tasks.signal.text.signals import RuleSignal
from evenkeel.tasks.signal.text.statistics import Measures


class FineWeb(RuleSignal):
    """1 where a text passes the rules that FineWeb adds to Gopher's and C4's, else 0; blank lines do not count."""

    kind: Literal["fineweb"] = "fineweb"
    min_terminal_lines: float | None = Field(
        0.12, ge=0, le=1, description="Least share of lines whose last character ends a sentence."
    )
    max_short_lines: float | None = Field(0.67, ge=0, le=1, description="Greatest share of lines that are short.")
    short_line: int = Field(30, ge=0, description="Most characters of a short line.")
    max_duplicate_characters: float | None = Field(
        0.01, ge=0, le=1, description="Greatest share of characters in lines that came before; the paper prints 0.1."
    )
    max_line_feeds: float | None = Field(0.3, ge=0, description="Most line feeds for each word.")

    def rules(self) -> list[Rule]:
        """Return the rules that have a threshold."""
        return rules_of(
            ("full_lines", "<", 1),
            ("terminal_line_share", "<", self.min_terminal_lines),
            ("short_line_share", ">", self.max_short_lines),
            ("duplicate_full_line_character_share", ">", self.max_duplicate_characters),
            ("line_feed_ratio", ">", self.max_line_feeds),
        )

    def measures(self) -> Measures:
        """Return what a short line is."""
        return Measures(short_line=self.short_line)
