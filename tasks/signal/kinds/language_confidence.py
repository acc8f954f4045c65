"""How sure the language of a text is (langid.py, Lui and Baldwin 2012, ACL demo)."""

from typing import Literal

from evenkeel.tasks.signal.signal import Fit, Numbers
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.text.identifying import IdentifiedSignal


class LanguageConfidence(IdentifiedSignal):
    """The probability of the likeliest language of a text, 0 to 1; short and mixed texts are low."""

    kind: Literal["language-confidence"] = "language-confidence"

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Numbers:
        """Return the probability of the language of each text, NaN where there is none."""
        return self.identified(source, block, fit.backend).confidence
