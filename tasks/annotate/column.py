"""What is said of a column that an annotation writes."""

from typing import Literal, NamedTuple

ColumnType = Literal["int8", "int32", "int64", "float32", "float64", "bool", "string", "list<int64>", "list<string>"]


class Column(NamedTuple):
    """A column that an annotation writes. name: begins with `ek_`. meaning: one sentence, for the card."""

    name: str
    type: ColumnType
    meaning: str
