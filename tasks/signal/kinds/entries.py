"""Entries of a list that occur in a row's text, as whole words.

Source: MetaCLIP (arXiv 2309.16671) matches captions with 500,000 entries of metadata like this.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.tables import read_table, write_table
from evenkeel.tasks.ingest.lists import fingerprint
from evenkeel.tasks.signal.entries.listed import read_entries
from evenkeel.tasks.signal.entries.phrases import Phrases
from evenkeel.tasks.signal.entries.tag_lists import TagLists
from evenkeel.tasks.signal.signal import Fit, Part, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload

ENTRIES = "entries.parquet"


class EntriesSignal(Signal):
    """Entries of a list that occur in the text, in any case, where whole words begin and end."""

    tags: ClassVar[bool] = True

    kind: Literal["entries"] = "entries"
    uri: str | list[str] = Field(
        "", description="Files of entries: one a line (.txt), or a column of any other format."
    )
    column: str = Field("entry", min_length=1, description="The column of the entries where a file has columns.")
    values: list[str] = Field(default_factory=list, description="Entries beside those of the files.")
    match: Literal["words"] = "words"
    text: str = Field("", description="The column that is searched; empty = source.text.")
    fingerprint: str = Field("", description="Of the files, found when a run begins; leave it out.")

    @model_validator(mode="after")
    def _names_entries(self) -> Self:
        if not self.uri and not self.values:
            raise ValueError("entries need uri: files with one entry a line, or values: entries in the recipe")
        return self

    def needs(self) -> frozenset[Part]:
        """Return that texts are read."""
        return frozenset() if self.text else frozenset({"text"})

    def columns(self) -> tuple[str, ...]:
        """Return the column that is searched, where it is not the source's text."""
        return (self.text,) if self.text else ()

    def current(self) -> Self:
        """Return it with the fingerprint of its files. Raises InputError where there are none."""
        return self.model_copy(update={"fingerprint": fingerprint(self.uri)}) if self.uri else self

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with the paths of its files made absolute."""
        uri = [absolute(one) for one in self.uri] if isinstance(self.uri, list) else self.uri and absolute(self.uri)
        return self.model_copy(update={"uri": uri})

    def check(self, source: SignalSource) -> None:
        """Raise RecipeError where the pool has no texts."""
        if not self.text and not source.pool.has_text:
            raise RecipeError(
                "entries are matched in texts, and the pool has none",
                where=f"signals, {self.name}",
                remedy="set source.text, or text: the column to search",
            )

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Read the entries and write them with their trie; facts say how many there are."""
        listed = read_entries(self.uri, self.column, self.values, run.scratch, f"signals, {self.name}")
        write_table(storage.join(folder, ENTRIES), pa.table({"entry": listed.names}))
        listed.phrases.write(folder)
        counts = {"read": listed.read, "blank": listed.blank, "repeated": listed.repeated}
        return {"entries": len(listed.names), "list": counts}

    def compute(self, source: SignalSource, block: str, fit: Fit) -> pa.Array:
        """Return the entries in each text, in the order in which they first end."""
        texts = source.columns(block, [self.text])[self.text] if self.text else source.text(block)
        names, phrases = _opened(fit.folder, fit.scratch)
        found = phrases.find(texts.cast(pa.string()))
        return TagLists(names, found.numbers, found.offsets).array()

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool on a reference core."""
        return 0.3 + 1.2e-5 * work.rows


@lru_cache(maxsize=2)
def _opened(folder: str, scratch: str) -> tuple[pa.Array, Phrases]:
    """Return the entries and their trie; the folder is that of one content, so each process opens it once."""
    names = read_table(storage.join(folder, ENTRIES))["entry"].combine_chunks()
    return names, Phrases.open(folder, len(names), Path(scratch))
