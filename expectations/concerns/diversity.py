"""Diversity inside concepts: the rows of each concept are spread over the values of an attribute."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from evenkeel.expectations import measures
from evenkeel.expectations.expectation import AtLeast, Measurement, NotApplicable, Offender, UnknownScope

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 5  # rows of a concept that is named as an offender


class ConditionalEntropy(AtLeast):
    """The entropy of an attribute inside each concept, H(attribute | concept), is high (GRADE, arXiv 2410.22592).

    The value is the mean over the concepts of the entropy of the attribute in them, divided by the log of the number of
    its values: 1 where every concept has every value equally often. By rows, it is the conditional entropy; by
    concepts, each counts once however many rows it has, as GRADE reports it. A concept is a value of a group column,
    or a tag; a row with several tags counts for each.
    """

    concern: ClassVar[str] = "balance"
    table: ClassVar[str] = "joint"

    expect: Literal["conditional_entropy"] = "conditional_entropy"
    scope: str = Field(pattern=r"^group\..+$", description="The attribute: group.<column>.")
    given: str = Field(pattern=r"^(group|tags)\..+$", description="The concepts: group.<column>, or tags.<signal>.")
    mean_by: Literal["rows", "concepts"] = Field("rows", description="What the mean over the concepts is weighed by.")
    at_least: float = Field(0.5, ge=0, le=1, description="Smallest conditional entropy, 0 to 1.")

    def sentence(self) -> str:
        return (
            f"{self.scope} is spread inside each of {self.given}: a conditional entropy of at least {self.at_least:g}"
        )

    def measure(self, table: "pd.DataFrame") -> Measurement:
        if table.empty:
            raise NotApplicable("attributes inside concepts were not counted here")
        rows = table[(table["scope"] == self.scope) & (table["given"] == self.given)]
        if rows.empty:
            raise UnknownScope(f"no row has both {self.scope} and {self.given}")
        concept, concepts = rows["concept"].factorize()
        _, attributes = rows["attribute"].factorize()
        counts: measures.Counts = rows["after"].to_numpy(np.float64)
        if counts.sum() <= 0:
            raise NotApplicable(f"the version has no rows with both {self.scope} and {self.given}")
        if len(attributes) < 2:
            raise NotApplicable(f"{self.scope} has one value")

        def statistic(found: measures.Counts) -> float:
            totals = _sums(found, concept, len(concepts))
            weight = totals if self.mean_by == "rows" else (totals > 0).astype(np.float64)
            return float((weight * _entropies(found, concept, totals)).sum() / weight.sum() / np.log(len(attributes)))

        totals = _sums(counts, concept, len(concepts))
        inside = _entropies(counts, concept, totals) / np.log(len(attributes))
        worst = np.argsort(np.where(totals >= FEWEST, totals * (inside - 1.0), 0.0), kind="stable")
        offenders = []
        for place in worst[:20]:
            if totals[place] < FEWEST or inside[place] >= self.at_least:
                continue
            mine = rows[concept == place]
            most = mine.loc[mine["after"].idxmax()]
            share = most["after"] / totals[place]
            why = f"{share:.0%} of its {totals[place]:,.0f} rows are {most['attribute']}; entropy {inside[place]:.2f}"
            offenders.append(Offender(scope=self.given, name=str(concepts[place]), why=why))
        margin = measures.bootstrap_margin(statistic, counts)
        return Measurement(statistic(counts), margin, offenders=offenders)


def _entropies(counts: measures.Counts, concept: np.ndarray, totals: measures.Counts) -> measures.Counts:
    """Return the entropy of the attribute inside each concept, (concepts,) float64, in nats."""
    share = counts / np.maximum(totals, 1e-300)[concept]
    terms = np.where(share > 0, -share * np.log(np.where(share > 0, share, 1.0)), 0.0)
    return _sums(terms, concept, len(totals))


def _sums(values: measures.Counts, concept: np.ndarray, concepts: int) -> measures.Counts:
    return np.bincount(concept, values, concepts).astype(np.float64)
