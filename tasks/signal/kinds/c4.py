"""C4's rules for pages (Raffel et al. 2020, JMLR 21:140, section 2.2), as a decision about the whole text."""

from typing import Literal

from pydantic import Field

from evenkeel.tasks.signal.text.rules import Rule, rules_of
from evenkeel.tasks.signal.text.signals import RuleSignal
from evenkeel.tasks.signal.text.statistics import Measures


class C4(RuleSignal):
    """1 where C4 keeps a text, else 0. C4 also cuts lines out of a text that it keeps; here the text stays as it is."""

    kind: Literal["c4"] = "c4"
    min_sentences: int | None = Field(5, ge=0, description="Fewest sentences in the lines that C4 keeps.")
    lorem_ipsum: bool = Field(False, description="Whether a text with the words lorem ipsum passes.")
    curly_brackets: bool = Field(False, description="Whether a text with a curly bracket passes.")
    min_words_per_line: int = Field(3, ge=0, description="Fewest words of a line that is kept.")
    max_word_length: int = Field(1000, ge=1, description="Most characters of a word in a line that is kept.")

    def rules(self) -> list[Rule]:
        """Return the rules that have a threshold."""
        return rules_of(
            ("lorem_ipsum", ">", None if self.lorem_ipsum else 0),
            ("curly_bracket", ">", None if self.curly_brackets else 0),
            ("c4_sentences", "<", self.min_sentences),
        )

    def measures(self) -> Measures:
        """Return which lines are kept."""
        return Measures(min_words_per_line=self.min_words_per_line, max_word_length=self.max_word_length)
