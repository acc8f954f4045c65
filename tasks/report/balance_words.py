"""The balance of a version in words: one line for each scope, as the terminal and the page of a run show it."""

from collections.abc import Iterable, Mapping

from evenkeel.expectations.wording import percent
from evenkeel.tasks.report.facts import name_of
from evenkeel.tasks.report.held_out import SCOPE

HELD_OUT = "held out: over stable partitions of the space, which the clusters had no part in"


def balance_in_words(rows: Iterable[Mapping[str, object]], held_out: Mapping[str, float]) -> list[dict[str, str]]:
    """Return one record per scope, its columns by name in words; of stable partitions evenness alone is known.

    rows: the profile's table of balance. held_out: evenness over stable partitions by stage, {} without any.
    """
    lines = []
    if {"before", "after"} <= set(held_out):
        lines.append(_line(SCOPE, {stage: {"entropy": value} for stage, value in held_out.items()}))
    scopes: dict[str, dict[str, Mapping[str, object]]] = {}
    for row in rows:
        scopes.setdefault(str(row["scope"]), {})[str(row["stage"])] = row
    return lines + [_line(scope, of) for scope, of in scopes.items() if {"before", "after"} <= set(of)]


def _line(scope: str, stages: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    before, after, random = stages["before"], stages["after"], stages.get("random", {})
    shares = [(percent(float(str(one["largest_share"]))) if "largest_share" in one else "") for one in (before, after)]
    numbers = [(f"{float(str(one['hill1'])):,.0f}" if "hill1" in one else "") for one in (before, after)]
    return {
        "balance over": name_of(scope),
        "evenness before": f"{before['entropy']:.3f}",
        "evenness after": f"{after['entropy']:.3f}",
        "evenness of a random draw": f"{random['entropy']:.3f}" if "entropy" in random else "",
        "largest share before": shares[0],
        "largest share after": shares[1],
        "effective number before": numbers[0],
        "effective number after": numbers[1],
    }
