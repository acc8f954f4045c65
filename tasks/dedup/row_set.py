"""Rows from elsewhere that a pool is compared with: texts or vectors in files, embedded as the pool was."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from evenkeel.infra.dtypes import Float32Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.dedup.config import TextList, VectorList

if TYPE_CHECKING:
    import pyarrow as pa

    from evenkeel.tasks.embed.vectors import Vectors
    from evenkeel.tasks.step import Run

TEXT, VECTOR = "text", "vector"
Places = str | list[str]


class RowSet(BaseModel):
    """Texts or vectors in files, read some rows at a time, so that millions of them cost no memory.

    where: the section of the recipe, for messages. what: the rows in a sentence.
    """

    model_config = ConfigDict(extra="forbid")

    where: ClassVar[str] = "target_set"
    what: ClassVar[str] = "the target set"

    uri: Places = Field(
        "",
        description="Files, folders or globs: Parquet, JSONL, CSV, also compressed; .txt with one text a line, .npy.",
    )
    text: str = Field("", description="The column with texts; empty = `text`, unless `vector` is named.")
    vector: str = Field("", description="The column with vectors, made as those of the source; .npy has just one.")
    fingerprint: str = Field("", description="Of the files, found when a run begins; leave it out.")

    @model_validator(mode="after")
    def _texts_or_vectors(self) -> Self:
        places = [self.uri] if isinstance(self.uri, str) else self.uri
        if self.in_files and not (places and all(places)):
            raise ValueError(f"{self.where} needs uri: its files")
        if self.text and self.vector:
            raise ValueError(f"{self.where} has text or vector, not both: it is embedded as the pool is")
        if self.in_files and not self.text and not self.vector:
            numbers = all(place.endswith(".npy") for place in places)
            self.vector, self.text = (VECTOR, "") if numbers else ("", TEXT)
        return self

    @property
    def in_files(self) -> bool:
        """Whether its rows lie in files that `uri` names."""
        return True

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with the paths of its files made absolute."""
        if not self.uri:
            return self
        uri = [absolute(one) for one in self.uri] if isinstance(self.uri, list) else absolute(self.uri)
        return self.model_copy(update={"uri": uri})

    def current(self) -> Self:
        """Return it with the fingerprint of its files as they are now. Raises InputError where there are none."""
        from evenkeel.tasks.ingest.lists import fingerprint

        return self.model_copy(update={"fingerprint": fingerprint(self.uri)}) if self.uri else self

    def require_usable(self, scratch: Path, dimension: int | None = None) -> None:
        """Raise InputError where the first rows are not there or not finite, or vectors not of a dimension if given."""
        if not self.vector:
            self._require(any(len(part) for part in self._text_parts(scratch)))
            return
        first = next(self._vector_parts(scratch), None)
        self._require(first is not None)
        if first is not None:
            self._checked(first, 0, dimension or first.shape[1])

    def texts(self, scratch: Path) -> "Iterator[pa.ChunkedArray]":
        """Yield the texts, some at a time. Raises InputError where it holds vectors, or nothing."""
        if self.vector:
            raise InputError(
                f"{self.what} holds vectors, and what is asked of it needs texts",
                where=self.where,
                remedy="name its column of texts (text), or choose another rule: by: clusters",
            )
        found = 0
        for part in self._text_parts(scratch):
            found += len(part)
            yield part
        self._require(found)

    def vectors(self, pool: "Vectors", run: "Run") -> Iterator[Float32Array]:
        """Yield the vectors, (n, d) float32, some at a time, made by the map that made the vectors of a pool.

        Raises InputError where there are none, and where they are of another dimension or not finite.
        """
        from evenkeel.tasks.embed.step import embed_texts, embed_vectors

        if self.vector:
            parts = (embed_vectors(pool, part, run) for part in self._vector_parts(run.scratch))
        else:
            parts = (embed_texts(pool, part, run) for part in self.texts(run.scratch) if len(part))
        found = 0
        for part in parts:
            yield self._checked(np.asarray(part, np.float32), found, pool.dimension)
            found += len(part)
        self._require(found)

    def _text_parts(self, scratch: Path) -> "Iterator[pa.ChunkedArray]":
        from evenkeel.tasks.dedup.lists import read_texts

        return read_texts(TextList(uri=self.uri, column=self.text), self.text, scratch, self.what)

    def _vector_parts(self, scratch: Path) -> Iterator[Float32Array]:
        from evenkeel.tasks.dedup.lists import vector_parts

        return vector_parts(VectorList(uri=self.uri, column=self.vector), self.vector, scratch, self.what)

    def _require(self, found: int | bool) -> None:
        if not found:
            raise InputError(
                f"{self.what} is empty",
                expected="at least one row",
                found=f"no {'vector' if self.vector else 'text'} in {self.uri}",
                where=self.where,
                remedy="name files that hold such rows",
            )

    def _checked(self, part: Float32Array, before: int, dimension: int) -> Float32Array:
        """Return vectors that can be compared with the pool's. before: how many rows came before them."""
        if len(part) and part.shape[1] != dimension:
            raise InputError(
                f"the vectors of {self.what} are not of the pool's dimension",
                expected=f"{dimension} dimensions",
                found=f"{part.shape[1]}",
                where=self.where,
                remedy="embed it with the model of the pool",
            )
        wrong = ~np.isfinite(part).all(axis=1)
        if wrong.any():
            raise InputError(
                f"{int(wrong.sum()):,} vector(s) of {self.what} are not finite",
                found=f"row {before + int(wrong.argmax()):,}",
                where=self.where,
                remedy="leave those rows out",
            )
        return part
