"""What is said of an annotation: the columns that it writes, and what of it cannot be met."""

from typing import Literal, NamedTuple

ColumnType = Literal["int8", "int32", "int64", "float32", "float64", "bool", "string", "list<int64>", "list<string>"]


class Foreseen(NamedTuple):
    """What is known of an annotation before the work: why it cannot be met (block), or may not (warn), and a remedy."""

    why: str
    remedy: str
    severity: Literal["block", "warn"] = "block"


class Column(NamedTuple):
    """A column that an annotation writes. name: begins with `ek_`. meaning: one sentence, for the card."""

    name: str
    type: ColumnType
    meaning: str
