"""The names of the rules by which rows to label are chosen, and of the ways to say how unsure a model is."""

from typing import Literal

Rule = Literal["anchors", "balanced", "minority", "clusters"]
Uncertainty = Literal["margin", "entropy", "confidence"]
