"""The names of the rules by which rows to label are chosen, what they are even over, and how unsure a model is."""

from typing import Literal

Rule = Literal["anchors", "balanced", "minority", "clusters"]
Per = Literal["class", "cluster"]
Uncertainty = Literal["margin", "entropy", "confidence"]
