"""Nearness: the version is nearer to the target set than a random draw."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from evenkeel.expectations.expectation import AtMost, Measurement, NotApplicable, Offender

if TYPE_CHECKING:
    import pandas as pd

NAMES = {
    "mmd": "maximum mean discrepancy",
    "frechet": "Frechet distance",
    "transport": "optimal transport",
    "kl": "Kullback-Leibler divergence",
}


class Distance(AtMost):
    """The version is nearer to the target set than a random draw of the pool would be.

    The value is the distance of the version over that of the pool, which a random draw comes near to as it grows.
    """

    concern: ClassVar[str] = "drift"
    table: ClassVar[str] = "distances"

    expect: Literal["distance"] = "distance"
    to: Literal["target"] = Field("target", description="What the version should be near to: the recipe's target_set.")
    by: Literal["mmd", "frechet", "transport", "kl"] = Field(
        "mmd",
        description="mmd, frechet: between vectors; transport, kl: between histograms of clusters.",
    )
    better_than: Literal["random"] = Field("random", description="What the distance is measured against.")
    at_most: float = Field(1.0, gt=0, le=10, description="Largest distance, as a share of that of a random draw.")

    @property
    def label(self) -> str:
        return f"{self.expect}({self.to}, {self.by})"

    def sentence(self) -> str:
        return f"the {NAMES[self.by]} to the {self.to} is at most {self.at_most:g} of that of a random draw"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        if table.empty:
            raise NotApplicable("distances were not measured: the recipe has no target_set")
        row = table[(table["to"] == self.to) & (table["by"] == self.by)].iloc[0]
        pool, after = float(row["pool"]), float(row["after"])
        if not pool > 0:
            raise NotApplicable("the pool is as near to the target as can be measured")
        why = f"{after:.4g}; a random draw comes to {pool:.4g}"
        return Measurement(after / pool, offenders=[Offender(scope=self.to, name=self.by, why=why)])
