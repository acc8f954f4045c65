"""The target set of a recipe: rows from elsewhere that a version should resemble, and what has been seen of it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from evenkeel.tasks.dedup.config import Exclusion, NearConfig, TextList, VectorList
from evenkeel.tasks.dedup.row_set import TEXT, RowSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


class SeenSet(RowSet):
    """Rows that a model has been trained on already: files, or a published version of this dataset."""

    where: ClassVar[str] = "target_set.seen"
    what: ClassVar[str] = "the set of seen rows"

    version: str = Field(
        "",
        coerce_numbers_to_str=True,
        description="A version of this dataset in place of files: its number, a tag, or latest, which asks for other "
        "rows at every run.",
    )
    published: bool = Field(
        False, description="Whether uri is the data of a version, found when a run begins; leave it out."
    )
    share: float = Field(
        1.0, gt=0, le=1, description="Share of the seen rows in what is transported; the rest is the pool."
    )

    @model_validator(mode="after")
    def _files_or_version(self) -> Self:
        if self.version and self.uri:
            raise ValueError("target_set.seen has uri or version, not both")
        return self

    @property
    def in_files(self) -> bool:
        """Whether its rows lie in files that `uri` names, and not in a version that is to be looked up."""
        return not self.version

    def found(self, folder: str) -> Self:
        """Return it with the folder of its version's files in place of the version."""
        return self.model_copy(update={"uri": folder, "published": True, "version": "", "text": ""})


class TargetSet(RowSet):
    """Rows from elsewhere, texts or vectors, that a version should resemble: a benchmark, a customer, a domain."""

    prompts: list[str] = Field(
        default_factory=list, description="Texts written here in place of files: what the wanted rows are about."
    )
    leak: Literal["excluded", "allowed"] = Field(
        "excluded",
        description="excluded = rows of the pool that equal or nearly equal one of the target leave, with that reason; "
        "prompts exclude nothing.",
    )
    similarity: float = Field(
        0.999, gt=0, le=1, description="Of a target of vectors: cosine from which a row of the pool is such a copy."
    )
    seen: SeenSet | None = Field(
        None, description="What a model has been trained on already: by: transport asks for what that lacks."
    )

    @model_validator(mode="after")
    def _files_or_prompts(self) -> Self:
        if self.prompts and (self.uri or self.vector):
            raise ValueError("target_set has uri or prompts, not both")
        if not all(prompt.strip() for prompt in self.prompts):
            raise ValueError("target_set.prompts: a prompt is empty")
        if self.prompts:
            self.text = TEXT
        return self

    @property
    def in_files(self) -> bool:
        """Whether its rows lie in files that `uri` names, and not in the recipe itself."""
        return not self.prompts

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with the paths of its files made absolute."""
        found = super().with_paths(absolute)
        return found if self.seen is None else found.model_copy(update={"seen": self.seen.with_paths(absolute)})

    def current(self) -> Self:
        """Return it with the fingerprint of its files as they are now. Raises InputError where there are none."""
        found = super().current()
        return found if self.seen is None else found.model_copy(update={"seen": self.seen.current()})

    def exclusions(self) -> list[Exclusion]:
        """Return the lists by which copies of the target leave the pool; none where leaks are allowed."""
        if self.leak == "allowed" or self.prompts:
            return []
        if self.vector:
            return [VectorList(uri=self.uri, column=self.vector, similarity=self.similarity)]
        return [TextList(uri=self.uri, column=self.text, near=NearConfig())]

    def _text_parts(self, scratch: Path) -> "Iterator[pa.ChunkedArray]":
        import pyarrow as pa

        return iter([pa.chunked_array([self.prompts], pa.string())]) if self.prompts else super()._text_parts(scratch)
