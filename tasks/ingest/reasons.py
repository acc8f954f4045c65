"""The reasons for which a row or a shard is not in the pool."""

from enum import IntEnum


class Reason(IntEnum):
    """The reasons in the order they are checked: a row is refused for the first that holds."""

    SOUND = 0
    UNREADABLE_SHARD = 1
    MISSING_COLUMN = 2
    TYPE_MISMATCH = 3
    UNPARSABLE_ROW = 4
    NULL_ID = 5
    EMPTY_TEXT = 6
    OVERSIZE_ROW = 7
    NULL_VECTOR = 8
    UNPARSABLE_VECTOR = 9
    WRONG_DIMENSION = 10
    VECTOR_NOT_FINITE = 11
    ZERO_VECTOR = 12
    SCORE_NOT_A_NUMBER = 13
    DUPLICATE_ID = 14

    @property
    def label(self) -> str:
        """Return the reason as it stands in the quarantine."""
        return self.name.lower().replace("_", " ")
