"""Every row has one fate: kept, deduplicated, not sampled or quarantined."""

from dataclasses import asdict, dataclass, fields

from evenkeel.infra.errors import AccountingError


@dataclass(frozen=True)
class Fates:
    """Rows by fate, of one block or of the whole pool."""

    kept: int = 0
    deduplicated: int = 0
    not_sampled: int = 0
    quarantined: int = 0

    def __add__(self, other: "Fates") -> "Fates":
        return Fates(**{part.name: getattr(self, part.name) + getattr(other, part.name) for part in fields(self)})

    def check(self, read: int) -> None:
        """Raise AccountingError unless the four fates add up to the rows read."""
        counts = asdict(self)
        if sum(counts.values()) != read or min(counts.values()) < 0:
            raise AccountingError(
                "the fates of the rows do not add up to the rows read",
                expected=f"{read:,} rows read",
                found=" + ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
                + f" = {sum(counts.values()):,}",
                where="measure",
                remedy="this is a fault of the pipeline, not of the data: keep the workspace and report it",
            )
