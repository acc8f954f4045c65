"""What cannot pass is said before the work: never of a version that could pass, always of one that could not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from evenkeel.expectations.concerns.accounting import TargetReached
from evenkeel.expectations.concerns.balance import Gini, KLUniform, NormalisedEntropy, SmallestShare
from evenkeel.expectations.concerns.inputs import AllowedSources, QuarantineRate, RowCountChange, RowsRead
from evenkeel.expectations.expectation import Expectation
from evenkeel.expectations.outlook import Outlook
from evenkeel.expectations.suites import obstacles, suite
from tests.expectations.profiles import tables


def outlook(**known: Any) -> Outlook:
    return Outlook(**{"rows": 10_000, "exact": True, "kept": 1000, "most": 10_000, "clusters": (300, 30), **known})


def most_even(clusters: int, rows: int) -> pd.DataFrame:
    """The shares of the most even version that large clusters allow."""
    after = np.full(clusters, rows // clusters, float)
    after[: rows % clusters] += 1
    names = [str(number) for number in range(clusters)]
    return pd.DataFrame({"scope": "level-1", "name": names, "before": 1e6, "after": after, "planned": after})


@pytest.mark.parametrize(
    "one", [NormalisedEntropy(at_least=0.9), KLUniform(at_most=0.5), Gini(at_most=0.4), SmallestShare(at_least=1e-3)]
)
@pytest.mark.parametrize("clusters", [20, 150, 1000, 20_000])
@pytest.mark.parametrize("rows", [1, 10, 140, 900, 5000])
@pytest.mark.long
def test_what_is_foreseen_no_version_can_pass(one: Expectation, clusters: int, rows: int) -> None:
    foreseen = one.foresee(outlook(rows=10**9, kept=rows, most=10**9, clusters=(clusters,)))
    passes = one.holds(one.measure(most_even(clusters, rows)))
    assert foreseen is None or not passes
    assert passes or foreseen is not None or rows >= clusters


def test_the_default_gates_foresee_nothing_for_any_size_and_target() -> None:
    sizes = [(200, 1, 10), (5_000_000, 100_000, 20_000), (10**6, 50_000, 33_333), (40_000, 1200, 1333)]
    for rows, kept, leaves in sizes:
        known = outlook(rows=rows, kept=kept, most=rows, clusters=(leaves, leaves // 10), shards=tables()["shards"])
        assert obstacles(suite("auto"), known) == []


@pytest.mark.parametrize(
    ("one", "known", "words"),
    [
        (NormalisedEntropy(at_least=0.9), {"kept": 100}, "raise sampling.target to 300 rows"),
        (NormalisedEntropy(at_least=0.9, scope="level-2"), {"kept": 2}, "raise sampling.target to 30 rows"),
        (SmallestShare(at_least=0.01), {}, "lower at_least"),
        (TargetReached(), {"most": 500}, "raise sampling.cap"),
        (RowsRead(at_least=20_000), {}, "the source has 10,000 rows"),
        (RowCountChange(), {"last_read": 100_000}, "had 100,000 in the last version"),
        (AllowedSources(allowed=["s3://ok/*"]), {"uris": ("s3://ok/1", "s3://no/2")}, "such as s3://no/2"),
        (QuarantineRate(at_most=0.001), {"shards": tables()["shards"]}, "mend the source"),
    ],
)
def test_why_and_what_to_change_are_said(one: Expectation, known: dict[str, Any], words: str) -> None:
    (found,) = obstacles([one], outlook(**known))
    assert found.severity == one.severity
    assert words in found.summary()


def test_nothing_is_foreseen_from_rows_that_were_not_counted() -> None:
    assert obstacles([RowsRead(at_least=20_000), RowCountChange()], outlook(exact=False, last_read=100_000)) == []
