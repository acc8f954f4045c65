"""What a sampling strategy is after, which decides what its versions are held to."""

from typing import Literal

Goal = Literal["balance", "plan", "weights", "target"]
"""balance: an even version. plan: the quotas it sets itself, whatever they are. weights: rows in proportion to weights.
target: a distribution given by the user."""
