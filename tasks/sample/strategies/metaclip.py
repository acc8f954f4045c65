"""Balance by metadata: the strategy `entries` over one list of concepts that are matched in texts.

Source: MetaCLIP (arXiv 2309.16671).
"""

from collections.abc import Callable
from typing import Literal, Self

from pydantic import Field, model_validator

from evenkeel.tasks.sample.by_tags import ByTags
from evenkeel.tasks.signal.signal import Signal

CONCEPTS = "concepts"


class Metaclip(ByTags):
    """Keep rows by how rare the concepts in their text are."""

    name: Literal["metaclip"] = "metaclip"
    concepts: list[str] = Field(default_factory=list, description="Words and phrases to look for in the text.")
    uri: str | list[str] = Field("", description="Files of concepts, one a line; see `entries` for other formats.")

    @model_validator(mode="after")
    def _names_concepts(self) -> Self:
        if not self.uri and not self.concepts:
            raise ValueError("metaclip needs concepts, or uri: files with one concept a line")
        return self

    def perspectives(self) -> list[str]:
        """Return the signal that `signals` makes."""
        return [CONCEPTS]

    def signals(self) -> list[Signal]:
        """Return the signal of the concepts in each text."""
        from evenkeel.tasks.signal.kinds.entries import EntriesSignal

        return [EntriesSignal(name=CONCEPTS, uri=self.uri, values=self.concepts)]

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with the paths of its files made absolute."""
        uri = [absolute(one) for one in self.uri] if isinstance(self.uri, list) else self.uri and absolute(self.uri)
        return self.model_copy(update={"uri": uri})
