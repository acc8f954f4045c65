"""The tier of a version, from the results of its gates."""

from collections.abc import Sequence

from evenkeel.expectations.result import Result
from evenkeel.tasks.publish.tier import Tier, TierConfig, Verdict, tier_of
from evenkeel.tasks.validate.config import GatesConfig


def tier_of_results(config: TierConfig, gates: GatesConfig, results: Sequence[Result], approval: str | None) -> Tier:
    """Return the tier of a version with these results, L0 where it falls short of what the recipe wants.

    approval: the reason of the person who approved the version, None where nobody did.
    """
    verdicts = [Verdict(one.expectation, one.label, one.status) for one in results]
    changed = dict.fromkeys(one.expectation for one in gates.change)
    return tier_of(config, verdicts, gates.suite, changed, approval)
