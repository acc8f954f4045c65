"""What filters removed: by rule, by shard and by group value, as the facts of the last step that removed rows say."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TypedDict

from evenkeel.infra.workspace import StepRef


class RuleCount(TypedDict):
    """A rule as it is shown, the rows it removed, and those for which it could not be told."""

    rule: str
    removed: int
    missing: int


@dataclass(frozen=True)
class Filtered:
    """Rows that filters removed. shards: by name. groups: by group column and value; the most frequent thousand."""

    rules: list[RuleCount] = field(default_factory=list)
    shards: Counter[str] = field(default_factory=Counter)
    groups: dict[str, Counter[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, dropped: StepRef | None) -> "Filtered":
        """Return what the facts of a dedup or filter step say; nothing where there was no filter."""
        found = {} if dropped is None else dropped.facts.get("filtered", {})
        groups = {name: Counter(values) for name, values in found.get("groups", {}).items()}
        return cls(list(found.get("rules", [])), Counter(found.get("shards", {})), groups)
