"""Gopher's rules of quality (Rae et al. 2021, arXiv 2112.11446, appendix A.1.1), in the order of datatrove's filter."""

from typing import Literal

from pydantic import Field

from evenkeel.tasks.signal.text.rules import Rule, rules_of
from evenkeel.tasks.signal.text.signals import RuleSignal
from evenkeel.tasks.signal.text.statistics import ENGLISH_STOP_WORDS, MOST_STOP_WORDS, Measures


class GopherQuality(RuleSignal):
    """1 where a text passes Gopher's rules of quality, else 0. Words are what stands between white space."""

    kind: Literal["gopher-quality"] = "gopher-quality"
    min_words: int | None = Field(50, ge=0, description="Fewest words that are not punctuation alone.")
    max_words: int | None = Field(100_000, ge=0, description="Most words that are not punctuation alone.")
    min_word_length: float | None = Field(3, ge=0, description="Least mean length of these words, in characters.")
    max_word_length: float | None = Field(10, ge=0, description="Greatest mean length of these words, in characters.")
    max_hashes: float | None = Field(0.1, ge=0, description="Most signs # for each word.")
    max_ellipses: float | None = Field(0.1, ge=0, description="Most ellipses (... or …) for each word.")
    max_bullet_lines: float | None = Field(
        0.9, ge=0, le=1, description="Greatest share of lines that begin with - or •."
    )
    max_ellipsis_lines: float | None = Field(
        0.3, ge=0, le=1, description="Greatest share of lines that end in an ellipsis."
    )
    min_alphabetic: float | None = Field(0.8, ge=0, le=1, description="Least share of words that have a letter.")
    min_stop_words: int | None = Field(2, ge=0, description="Fewest different stop words.")
    stop_words: list[str] = Field(
        list(ENGLISH_STOP_WORDS), max_length=MOST_STOP_WORDS, description="The stop words; another language has others."
    )

    def rules(self) -> list[Rule]:
        """Return the rules that have a threshold."""
        return rules_of(
            ("wordlike_words", "<", self.min_words),
            ("wordlike_words", ">", self.max_words),
            ("mean_word_length", "<", self.min_word_length),
            ("mean_word_length", ">", self.max_word_length),
            ("hash_ratio", ">", self.max_hashes),
            ("ellipsis_ratio", ">", self.max_ellipses),
            ("bullet_line_share", ">", self.max_bullet_lines),
            ("ellipsis_line_share", ">", self.max_ellipsis_lines),
            ("alphabetic_share", "<", self.min_alphabetic),
            ("stop_words", "<", self.min_stop_words),
        )

    def measures(self) -> Measures:
        """Return the stop words that are counted."""
        return Measures(stop_words=tuple(self.stop_words))
