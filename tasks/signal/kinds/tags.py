"""Tags that the source has already: list columns, or texts that name several."""

from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.signal.entries.tag_lists import merged, text_parts, trimmed
from evenkeel.tasks.signal.signal import Fit, Signal
from evenkeel.tasks.signal.source import SignalSource

Column = str | list[str]


class TagsSignal(Signal):
    """The tags in list columns of the source, or in a column of texts cut at a separator, each once in its row."""

    tags: ClassVar[bool] = True

    kind: Literal["tags"] = "tags"
    column: Column = Field(min_length=1, description="A column of lists or texts, or several whose tags are joined.")
    separator: str = Field("", description="What stands between the tags of a text; empty = a text is one tag.")

    def columns(self) -> tuple[str, ...]:
        """Return the columns that are read."""
        return (self.column,) if isinstance(self.column, str) else tuple(self.column)

    def check(self, source: SignalSource) -> None:
        """Raise RecipeError for a column that holds neither lists nor single values."""
        for block in source.blocks[:1]:
            for name, column in zip(self.columns(), source.columns(block, self.columns()).columns, strict=True):
                _as_lists(column.slice(0, 0), name, self)

    def compute(self, source: SignalSource, block: str, fit: Fit) -> pa.Array:
        """Return the tags of each row."""
        table = source.columns(block, self.columns())
        return merged([_as_lists(table[name], name, self) for name in dict.fromkeys(self.columns())])


def _as_lists(column: pa.ChunkedArray, name: str, signal: TagsSignal) -> pa.ChunkedArray:
    kind = column.type
    inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
    if pa.types.is_nested(inner) or (pa.types.is_binary(inner) and not pa.types.is_string(inner)):
        raise RecipeError(
            f"the column {name!r} holds no tags",
            expected="lists of texts or numbers, or texts",
            found=str(kind),
            where=f"signals, {signal.name}",
            remedy="name a column of lists",
        )
    if inner is not kind:
        return pa.chunked_array([trimmed(chunk) for chunk in column.chunks], pa.list_(pa.string()))
    return text_parts(column, signal.separator or "\0")
