"""The section `provenance` of a recipe: a table of sources, whose attributes become columns of the version."""

from collections.abc import Callable, Iterable
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evenkeel.tasks.ingest.source_table import Attribute, NamedShard, read_source_table, sources_of_shards
from evenkeel.tasks.signal.signal import SIGNALS, Signal


class Provenance(BaseModel):
    """Which shards come from where: a table with a line per pattern of shards, and what of it becomes columns."""

    model_config = ConfigDict(extra="forbid", title="provenance")

    sources: str = Field(
        min_length=1,
        description="The table: CSV, JSONL or Parquet with `pattern` and `licence`, and where known `source`, "
        "`creator`, `terms` and `url`. A pattern such as `wiki/*` is compared with the name and the URI of a shard.",
    )
    columns: list[Attribute] = Field(
        ["source", "licence"],
        description="Attributes that become group columns of these names, for filters, gates and shares; the rest is "
        "in `sources.parquet` of the version.",
    )
    prefix: str = Field(
        "", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$", description="Put before these names, where the source has them."
    )
    allow: list[str] = Field(
        default_factory=list,
        description="Licences that rows of the version may have: a gate that blocks. Empty = no gate.",
    )
    unmatched: Literal["fail", "none"] = Field(
        "fail", description="What a shard that no line matches does: stop the run, or go without licence."
    )
    several: Literal["fail", "first"] = Field(
        "fail", description="What a shard does that lines of two sources match: stop the run, or follow the first."
    )

    @model_validator(mode="after")
    def _names_the_source(self) -> Self:
        needed: list[Attribute] = ["source", *(["licence"] if self.allow else [])]  # type: ignore[list-item]
        self.columns = [*dict.fromkeys([*needed, *self.columns])]
        return self

    def named(self, attribute: Attribute) -> str:
        """Return the name of the group column of an attribute."""
        return f"{self.prefix}{attribute}"

    def signals(self) -> list[Signal]:
        """Return the signals that make the columns."""
        table = {"uri": self.sources, "unmatched": self.unmatched, "several": self.several}
        kind = SIGNALS.get("source-table")
        return [kind.model_validate({"name": self.named(one), "column": one, **table}) for one in self.columns]

    def with_paths(self, absolute: Callable[[str], str]) -> Self:
        """Return it with the path of the table made absolute."""
        return self.model_copy(update={"sources": absolute(self.sources)})

    def unused(self, shards: Iterable[NamedShard]) -> list[str]:
        """Return the patterns that are those of no shard.

        Raises InputError where the table cannot be read, a shard matches no line, or lines of two sources.
        """
        found = sources_of_shards(read_source_table(self.sources), shards, self.unmatched, self.several)
        return [line.pattern for line in found.unused]
