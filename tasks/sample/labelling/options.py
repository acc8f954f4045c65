"""The names of the rules by which rows to label are chosen, what they are even over, and how unsure a model is."""

from typing import Literal

OneRule = Literal["anchors", "balanced", "minority", "clusters", "random"]
Rule = Literal["anchors", "balanced", "minority", "clusters", "random", "tailor"]
Per = Literal["class", "cluster"]
Uncertainty = Literal["margin", "entropy", "confidence"]

ASKED = "asked"  # the table beside a selection that says which rule asked for each row
