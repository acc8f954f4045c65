"""Nearness: how far the version is from the target set, the pool or the last version, beside random rows."""

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
PLACES = {"target": "the target", "pool": "the pool", "last-version": "the last version"}
SAME = 1e-9
ABSENT = {
    "target": "the recipe has no target_set",
    "pool": "this release's profile is not there",
    "last-version": "there is none, or its vectors were made by another map or not recorded",
}


class Distance(AtMost):
    """The version is near to the target set, the pool or the last version, in vector space.

    By default the value is the distance over that of random rows: for the target, over the nearest of eight random
    draws of the version's size; for the pool and the last version, over what two draws of one set hardly exceed.
    """

    concern: ClassVar[str] = "drift"
    table: ClassVar[str] = "distances"

    expect: Literal["distance"] = "distance"
    to: Literal["target", "pool", "last-version"] = Field(
        "target", description="What the version should be near to: the recipe's target_set, the pool, the last version."
    )
    by: Literal["mmd", "frechet", "transport", "kl"] = Field(
        "mmd",
        description="mmd, frechet: between vectors; transport, kl: between histograms of clusters.",
    )
    better_than: Literal["random"] | None = Field(
        "random", description="random: at_most is in units of what random rows come to; null: in those of the distance."
    )
    at_most: float = Field(1.0, gt=0, description="Largest distance, as a share of that of random rows, or itself.")

    @property
    def label(self) -> str:
        return f"{self.expect}({self.to}, {self.by})"

    def sentence(self) -> str:
        what = f"the {NAMES[self.by]} {'to' if self.to == 'target' else 'from'} {PLACES[self.to]} is at most"
        if self.better_than is None:
            return f"{what} {self.at_most:g}, beyond sampling noise"
        than = "that of a random draw" if self.to == "target" else "what sampling noise comes to"
        return f"{what} {self.at_most:g} of {than}"

    def measure(self, table: "pd.DataFrame") -> Measurement:
        rows = table[(table["to"] == self.to) & (table["by"] == self.by)] if len(table) else table
        if not len(rows):
            why = "its clusters are not these" if len(table) and (table["to"] == self.to).any() else ABSENT[self.to]
            raise NotApplicable(f"the distance to {PLACES[self.to]} was not measured: {why}")
        pool, random, after, bound = (float(rows.iloc[0][name]) for name in ("pool", "random", "after", "bound"))
        if after != after:
            raise NotApplicable("it is not measured: no level has 1,024 clusters or fewer, or the version has no rows")
        why = f"{after:.4g}; random rows come to {random:.4g}"
        why += f", the pool to {pool:.4g}" if pool == pool else ""
        found = [Offender(scope=self.to, name=self.by, why=why)]
        if self.better_than is None:
            return Measurement(after, bound if self.to != "target" and bound > 0 else 0.0, offenders=found)
        if after <= SAME:
            return Measurement(0.0, offenders=found)
        bound = bound if bound == bound or self.to != "target" else random
        if not bound > 0:
            raise NotApplicable(f"random rows come as near to {PLACES[self.to]} as can be measured")
        return Measurement(after / bound, offenders=found)
