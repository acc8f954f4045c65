"""The section `ownership` of a recipe: rows that must be kept, and where the keys lie that prove they were trained on.

The keys are read by `evenkeel owns` alone: no step of a run opens them, and nothing that a run writes holds one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from evenkeel.tasks.ingest.must_keep import MustKeep


class Ownership(BaseModel):
    """Rows that must be kept, and the vault of the keys to them.

    A recipe says `keys`; a field of that name would be taken for the method of a mapping.
    """

    model_config = ConfigDict(extra="forbid", title="ownership")

    rows: str = Field(
        min_length=1,
        description="Ids of rows of the source that must be kept: no filter, deduplication or sampling takes one out. "
        "One a line (.txt), or a column of any other format.",
    )
    column: str = Field("id", min_length=1, description="The column of ids where the file has columns.")
    vault: str = Field(
        "",
        validation_alias=AliasChoices("keys", "vault"),
        description="Also `keys`. Questions and secret answers that the rows teach, where runs need not be able to "
        "read: columns `key`, `answer` and, unless `chance` is given, `chance`. Only `evenkeel owns` opens it.",
    )
    chance: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="The chance that a model that never saw the rows gives one answer as a key has it.",
    )
    top: int = Field(1, ge=1, le=1000, description="How many of a model's first answers to a key count.")

    def must_keep(self) -> "MustKeep":
        """Return the config of the step that looks for the rows."""
        from evenkeel.tasks.ingest.must_keep import MustKeep

        return MustKeep(rows=self.rows, column=self.column)

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with local paths made absolute."""
        return self.model_copy(update={"rows": absolute(self.rows), "vault": self.vault and absolute(self.vault)})
