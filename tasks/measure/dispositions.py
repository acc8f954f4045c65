"""Every row has one disposition: kept, deduplicated, filtered, not sampled, quarantined. They add up to those read."""

from dataclasses import asdict, dataclass

from evenkeel.infra.errors import AccountingError


@dataclass(frozen=True)
class DispositionCounts:
    """Rows by disposition, of one block or of the whole pool."""

    kept: int = 0
    deduplicated: int = 0
    filtered: int = 0
    not_sampled: int = 0
    quarantined: int = 0

    def __add__(self, other: "DispositionCounts") -> "DispositionCounts":
        theirs = asdict(other)
        return DispositionCounts(**{name: count + theirs[name] for name, count in asdict(self).items()})

    @property
    def read(self) -> int:
        """The rows read, which is the sum of all."""
        return sum(asdict(self).values())

    def check(self, read: int) -> None:
        """Raise AccountingError unless they add up to the rows read."""
        counts = asdict(self)
        if self.read != read or min(counts.values()) < 0:
            raise AccountingError(
                "the rows by disposition do not add up to the rows read",
                expected=f"{read:,} rows read",
                found=" + ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
                + f" = {self.read:,}",
                where="measure",
                remedy="this is a fault of the pipeline, not of the data: keep the workspace and report it",
            )
