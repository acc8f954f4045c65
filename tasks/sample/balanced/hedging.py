"""How far to trust that a balanced choice is worth more than a random one, by how well halves of the data agree.

Agreement is low where cells are arbitrary, but also in a space of many dimensions, however clear the clusters are. So
it is held against the agreement that halves of a cloud without clusters come to (`reference.py`).
"""

MAX_PARTS = 6
AGREED, DISAGREED = 0.53, 0.46
ABSTAIN_FROM, ABSTAIN = 0.4, 0.36
CLUSTERED, UNCLUSTERED = 3.5, 2.5
LEAST_REFERENCE = 0.02
MOST_RANDOM = 0.75


def doubt(agreement: float, reference: float | None) -> float:
    """Return which share of a choice is to be random, in [0, 1].

    agreement: the adjusted Rand index of the two halves at the scale where they agree most. reference: that of a cloud
    of the same covariance without clusters; None = not known, taken as no less. The share is a half where the halves
    agree by 0.46 to 0.4, falls to nothing at 0.53 and grows to all at 0.36; of that, nothing is left where they agree
    3.5 times as well as those of the cloud, and all of it where less than 2.5 times.
    """
    share = 0.5 * _between(agreement, AGREED, DISAGREED) + 0.5 * _between(agreement, ABSTAIN_FROM, ABSTAIN)
    if reference is None:
        return share
    return share * _between(agreement / max(reference, LEAST_REFERENCE), CLUSTERED, UNCLUSTERED)


def hedged(parts: list[str], share: float) -> list[str]:
    """Return the parts, several times over, and `random` among them so that it makes up about `share`.

    Above three quarters all is random. Below, the share is right to a seventh.
    """
    if set(parts) == {"random"} or share <= 0:
        return parts
    if share > MOST_RANDOM:
        return ["random"]
    times = 1 if share == 0.5 else -(-MAX_PARTS // len(parts))
    random = round(share / (1 - share) * times * len(parts))
    return [*(name for name in parts for _ in range(times)), *["random"] * random] if random else parts


def _between(value: float, nothing: float, all_of_it: float) -> float:
    """Return 0 from `nothing` up, 1 from `all_of_it` down, and what lies between on the line."""
    return min(max((nothing - value) / (nothing - all_of_it), 0.0), 1.0)
