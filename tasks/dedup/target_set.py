"""The target set of a recipe: rows from elsewhere that a version should resemble."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from evenkeel.infra.dtypes import Float32Array
from evenkeel.infra.errors import InputError
from evenkeel.tasks.dedup.config import Exclusion, NearConfig, TextList, VectorList

if TYPE_CHECKING:
    import pyarrow as pa

    from evenkeel.tasks.embed.vectors import Vectors
    from evenkeel.tasks.step import Run

TEXT, VECTOR = "text", "vector"
WHERE = "target_set"


class TargetSet(BaseModel):
    """Rows from elsewhere, texts or vectors, that a version should resemble: a benchmark, a customer, a domain."""

    model_config = ConfigDict(extra="forbid")

    uri: str | list[str] = Field(
        description="Files, folders or globs: Parquet, JSONL, CSV, also compressed; .txt with one text a line, .npy.",
    )
    text: str = Field("", description="The column with texts; empty = `text`, unless `vector` is named.")
    vector: str = Field("", description="The column with vectors, made as those of the source; .npy has just one.")
    leak: Literal["excluded", "allowed"] = Field(
        "excluded",
        description="excluded = rows of the pool that equal or nearly equal one of the target leave, with that reason.",
    )
    similarity: float = Field(
        0.999, gt=0, le=1, description="Of a target of vectors: cosine from which a row of the pool is such a copy."
    )
    fingerprint: str = Field("", description="Of the files, found when a run begins; leave it out.")

    @model_validator(mode="after")
    def _texts_or_vectors(self) -> Self:
        places = [self.uri] if isinstance(self.uri, str) else self.uri
        if not places or not all(places):
            raise ValueError("target_set needs uri: the files of the target")
        if self.text and self.vector:
            raise ValueError("target_set has text or vector, not both: the target is embedded as the pool is")
        if not self.text and not self.vector:
            numbers = all(place.endswith(".npy") for place in places)
            self.vector, self.text = (VECTOR, "") if numbers else ("", TEXT)
        return self

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with the paths of its files made absolute."""
        uri = [absolute(one) for one in self.uri] if isinstance(self.uri, list) else absolute(self.uri)
        return self.model_copy(update={"uri": uri})

    def current(self) -> Self:
        """Return it with the fingerprint of its files as they are now. Raises InputError where there are none."""
        from evenkeel.tasks.ingest.lists import fingerprint

        return self.model_copy(update={"fingerprint": fingerprint(self.uri)})

    def exclusions(self) -> list[Exclusion]:
        """Return the lists by which copies of the target leave the pool; none where leaks are allowed."""
        if self.leak == "allowed":
            return []
        if self.vector:
            return [VectorList(uri=self.uri, column=self.vector, similarity=self.similarity)]
        return [TextList(uri=self.uri, column=self.text, near=NearConfig())]

    def texts(self, scratch: Path) -> "Iterator[pa.ChunkedArray]":
        """Yield the texts, some at a time. Raises InputError where the target holds vectors, or nothing."""
        from evenkeel.tasks.dedup.lists import read_texts

        if self.vector:
            raise InputError(
                "the target holds vectors, and what is asked of it needs texts",
                where=WHERE,
                remedy="name its column of texts (text), or choose another rule: by: clusters",
            )
        found = 0
        for part in read_texts(TextList(uri=self.uri, column=self.text), self.text, scratch):
            found += len(part)
            yield part
        self._require(found)

    def vectors(self, pool: "Vectors", run: "Run") -> Iterator[Float32Array]:
        """Yield the vectors, (n, d) float32, some at a time, made by the map that made the vectors of a pool.

        Raises InputError where the target is empty, of another dimension, or holds a vector that is not finite.
        """
        from evenkeel.tasks.dedup.lists import vector_parts
        from evenkeel.tasks.embed.step import embed_texts, embed_vectors

        if self.vector:
            listed = VectorList(uri=self.uri, column=self.vector)
            parts = (embed_vectors(pool, part, run) for part in vector_parts(listed, self.vector, run.scratch))
        else:
            parts = (embed_texts(pool, part, run) for part in self.texts(run.scratch) if len(part))
        found = 0
        for part in parts:
            yield _checked(np.asarray(part, np.float32), found, pool.dimension)
            found += len(part)
        self._require(found)

    def _require(self, found: int) -> None:
        if not found:
            raise InputError(
                "the target set is empty",
                expected="at least one row",
                found=f"no {'vector' if self.vector else 'text'} in {self.uri}",
                where=WHERE,
                remedy="name files that hold the rows to resemble",
            )


def _checked(part: Float32Array, before: int, dimension: int) -> Float32Array:
    if len(part) and part.shape[1] != dimension:
        raise InputError(
            "the vectors of the target are not of the pool's dimension",
            expected=f"{dimension} dimensions",
            found=f"{part.shape[1]}",
            where=WHERE,
            remedy="embed the target with the model of the pool",
        )
    wrong = ~np.isfinite(part).all(axis=1)
    if wrong.any():
        raise InputError(
            f"{int(wrong.sum()):,} vector(s) of the target are not finite",
            found=f"row {before + int(wrong.argmax()):,}",
            where=WHERE,
            remedy="leave those rows out of the target",
        )
    return part
