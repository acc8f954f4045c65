"""The entries that a recipe asks for, from files and from the recipe itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.ingest.columns import conform
from evenkeel.tasks.ingest.lists import find_files, read_strings
from evenkeel.tasks.signal.entries.phrases import Phrases

WHAT = "the list of entries"


class ListedEntries(NamedTuple):
    """Distinct entries as they are written, (n,) string, their trie, and how many lines named none or one again."""

    names: pa.Array
    phrases: Phrases
    read: int
    blank: int
    repeated: int


def read_entries(uri: str | list[str], column: str, values: Sequence[str], scratch: Path, where: str) -> ListedEntries:
    """Read a list of entries. White space around them and repeated white space inside do not matter, nor does case.

    Raises InputError where a file cannot be read, RecipeError where no entry is left.
    """
    parts = [pa.array(values, pa.string())]
    for file in find_files(uri) if uri else ():
        for strings in read_strings(file, column, scratch, WHAT):
            parts += conform(strings, pa.string()).chunks
    texts = pc.fill_null(pa.chunked_array(parts, pa.string()), "").combine_chunks()
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    _, found = Phrases.of(texts)
    names = pc.utf8_trim_whitespace(texts.filter(pa.array(found == np.arange(len(texts)))))
    if not len(names):
        files = uri if isinstance(uri, str) else ", ".join(uri)
        raise RecipeError(
            "the list of entries is empty",
            found=f"{len(texts):,} line(s), all of them blank" if len(texts) else "no line",
            where=f"{where}, {files}" if files else where,
            remedy="name a file with one entry a line, or give values",
        )
    phrases, _ = Phrases.of(names)
    blank = int((found < 0).sum())
    return ListedEntries(names, phrases, len(texts), blank, len(texts) - blank - len(names))
