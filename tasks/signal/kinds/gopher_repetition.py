"""Gopher's rules against repetition (Rae et al. 2021, arXiv 2112.11446, table A1)."""

from typing import Annotated, Literal

from pydantic import Field

from evenkeel.tasks.signal.text.rules import Rule, rules_of
from evenkeel.tasks.signal.text.signals import RuleSignal

Share = Annotated[float, Field(ge=0, le=1)]


class GopherRepetition(RuleSignal):
    """1 where a text repeats itself no more than Gopher allows, else 0; an empty text fails."""

    kind: Literal["gopher-repetition"] = "gopher-repetition"
    max_duplicate_paragraphs: Share | None = Field(0.3, description="Greatest share of paragraphs that came before.")
    max_duplicate_paragraph_characters: Share | None = Field(
        0.2, description="Greatest share of characters in paragraphs that came before."
    )
    max_duplicate_lines: Share | None = Field(0.3, description="Greatest share of lines that came before.")
    max_duplicate_line_characters: Share | None = Field(
        0.2, description="Greatest share of characters in lines that came before."
    )
    max_top_ngrams: dict[Literal[2, 3, 4], Share] = Field(
        {2: 0.2, 3: 0.18, 4: 0.16},
        description="Greatest share of characters in the most frequent n-gram of words, by n.",
    )
    max_duplicate_ngrams: dict[Literal[5, 6, 7, 8, 9, 10], Share] = Field(
        {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1},
        description="Greatest share of characters in n-grams of words that came before, by n.",
    )

    def rules(self) -> list[Rule]:
        """Return the rules that have a threshold."""
        return rules_of(
            ("characters", "<", 1),
            ("duplicate_paragraph_share", ">", self.max_duplicate_paragraphs),
            ("duplicate_paragraph_character_share", ">", self.max_duplicate_paragraph_characters),
            ("duplicate_line_share", ">", self.max_duplicate_lines),
            ("duplicate_line_character_share", ">", self.max_duplicate_line_characters),
            *((f"top_{n}_gram_share", ">", share) for n, share in sorted(self.max_top_ngrams.items())),
            *((f"duplicate_{n}_gram_share", ">", share) for n, share in sorted(self.max_duplicate_ngrams.items())),
        )
