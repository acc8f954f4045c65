"""The names of the set functions, by what they read of a row."""

from collections.abc import Mapping
from typing import Literal

FeatureGain = Literal["information", "entropy", "coverage"]
LeafGain = Literal["facility", "determinant"]
Gain = Literal[FeatureGain, LeafGain, "tasks"]

OF_FEATURES: Mapping[str, FeatureGain] = {"information": "information", "entropy": "entropy", "coverage": "coverage"}
IN_LEAVES: Mapping[str, LeafGain] = {"facility": "facility", "determinant": "determinant"}
WITH_QUALITY = ("information", "determinant")
