"""The titles of the card: what the numbers say, in sentences."""

import json
import math

import numpy as np
import pandas as pd
import yaml

from evenkeel.expectations.result import Result, summary
from evenkeel.expectations.wording import percent, percents
from evenkeel.tasks.measure.histograms import TARGET
from evenkeel.tasks.report.facts import CardFacts, Distribution, TagFrequencies
from evenkeel.tasks.report.held_out import SCOPE
from evenkeel.tasks.validate.examples import shorten

SHOWN = 2  # checks that are named
LEAST_HEDGE = 0.25  # a smaller share that is random stands in the facts of the step alone


def headline(facts: CardFacts) -> str:
    """Return the headline: what blocks it, how near it came to a target, or how the largest cluster changed."""
    if facts.blocked:
        return f"Blocked: {_listed([named(one) for one in facts.failed])}"
    if facts.goal == "target":
        return _of_target(facts)
    if facts.hedged == 1:
        return "Drawn at random: two halves of the pool do not agree on its clusters"
    leaves = facts.leaves
    before, after = float(leaves.share_before.max(initial=0)), float(leaves.share_after.max(initial=0))
    if 0.95 * before <= after <= 1.05 * before:
        return f"No cluster holds more than {percent(max(before, after))} of the rows"
    was, now = percents(before, after)
    return f"The largest cluster {'fell' if after < before else 'grew'} from {was} to {now} of the rows"


def of_failures(facts: CardFacts) -> str:
    """Return what was expected and what was found by the first checks that block, "" where none does."""
    if not facts.blocked:
        return ""
    parts = [f"Expected: {one.sentence.replace('group.', '')}; found: {one.found}." for one in facts.failed[:SHOWN]]
    return " ".join(["Nothing was published.", *parts])


def named(result: Result) -> str:
    """Return the name of a check in words: "smallest share of language"."""
    name, _, scope = result.label.partition("(")
    words = name.replace("_", " ")
    return f"{words} of {scope.removesuffix(')').removeprefix('group.')}" if scope else words


def _listed(names: list[str]) -> str:
    if len(names) > SHOWN + 1:
        return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN:,} more checks"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _of_target(facts: CardFacts) -> str:
    """Return how near rows that a target asked for came to it."""
    if not (between := nearness(facts.distances)):
        return f"{facts.totals['kept']:,.0f} rows were chosen for their nearness to the target"
    return f"Drawn towards the target: {between} of the pool's distance to it is left"


def nearness(distances: pd.DataFrame) -> str:
    """Return the version's distances to the target as shares of the pool's: "41 % to 52 %", "" where there are none."""
    near = distances[distances["to"].eq(TARGET)].dropna(subset=["pool", "after"]) if len(distances) else distances
    if not len(near) or not (near["pool"] > 0).any():
        return ""
    near = near[near["pool"] > 0]
    least, most = (percent(float(share)) for share in np.sort(near["after"] / near["pool"])[[0, -1]])
    return least if least == most else f"{least} to {most}"


def of_hedge(facts: CardFacts) -> str:
    """Return what was left to chance because halves of the pool agree little, and what would help, "" for nothing."""
    if facts.hedged < LEAST_HEDGE:
        return ""
    did = "rows were drawn at random" if facts.hedged == 1 else f"{percent(facts.hedged)} of the choice is random"
    beside = "" if facts.reference is None else f" (those of a cloud without clusters by {facts.reference:.2f})"
    found = f"Two halves of the pool agree by {facts.agreement:.2f} of 1 on where its clusters are{beside}, so "
    anyhow = "To even out its clusters all the same: strategy: {name: balanced, abstain: false}."
    if not facts.groups:
        return f"{found}{did}. {anyhow}"
    column = facts.groups[0].title
    uniform = _on_one_line({"name": "uniform", "groups": [column]})
    return f"{found}{did}. {anyhow} To even out {column}: strategy: {uniform}."


def _on_one_line(strategy: dict[str, object]) -> str:
    """Return a strategy as YAML on one line: of a name with line breaks as JSON, which is YAML too."""
    written = yaml.safe_dump(
        strategy, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf
    ).strip()
    return json.dumps(strategy, ensure_ascii=False) if "\n" in written else written


def of_map(facts: CardFacts) -> str:
    """Return how the share of the largest tenth of the clusters changed."""
    leaves = facts.leaves
    largest = np.argsort(-leaves.before, kind="stable")[: max(1, len(leaves.before) // 10)]
    before, after = float(leaves.share_before[largest].sum()), float(leaves.share_after[largest].sum())
    was, now = percents(before, after)
    return f"The largest tenth of the clusters went from {was} to {now} of the rows"


def of_sizes(facts: CardFacts) -> str:
    """Return how many clusters hold half of the rows."""
    leaves = facts.leaves
    before, after = half(leaves.before), half(leaves.after)
    noun = "cluster" if before == 1 else "clusters"
    return f"{before:,} {noun} held half of the pool; now it takes {after:,} to hold half of the {facts.name}"


def half(counts: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int:
    """Return how many of the largest classes hold half of the rows."""
    ordered = np.cumsum(np.sort(counts)[::-1])
    return int(np.searchsorted(ordered, counts.sum() / 2) + 1) if counts.sum() > 0 else 0


def of_group(counts: Distribution, what: str = "version") -> str:
    """Return how the share of the largest value of a group column changed, and how many values are in the version."""
    top = int(np.argmax(counts.before))
    before, after = float(counts.share_before[top]), float(counts.share_after[top])
    there, kept = (
        int((counts.before > 0).sum()),
        int(((counts.after > 0) & (counts.before > 0)).sum()),
    )
    left = f"all {there:,}" if kept == there else f"{kept:,} of {there:,}"
    verb = "fell" if after < before else "rose" if after > before else "stayed"
    was, now = percents(before, after)
    moved = f"from {was} to {now}" if after != before else f"at {was}"
    return f"{counts.title}: {counts.names[top]} {verb} {moved}; {left} values are in the {what}"


def of_tags(tags: TagFrequencies) -> str:
    """Return how many tags hold half of the matches, before and after, and how many are in the version."""
    left = f"all {tags.tags:,}" if tags.kept == tags.tags else f"{tags.kept:,} of {tags.tags:,}"
    most = tags.by_rank.iloc[0]
    return f"{tags.name}: {most['tag']} went from {most['before']:,} to {most['after']:,} rows; {left} tags are kept"


def of_tail(tags: TagFrequencies) -> str:
    """Return what is under the cap, and which entries that were asked for no row has."""
    parts = []
    if tags.cap is not None and tags.under_cap is not None:
        parts.append(f"{tags.under_cap:,} tags with at most t = {tags.cap:,.1f} rows keep all of them.")
    if tags.asked is not None and tags.unseen:
        shown = ", ".join(shorten(one, 30) for one in tags.examples[:8])
        more = ", ..." if tags.unseen > 8 else ""
        parts.append(f"{tags.unseen:,} of {tags.asked:,} entries that were asked for are in no row: {shown}{more}.")
    elif tags.asked is not None:
        parts.append(f"Each of the {tags.asked:,} entries that were asked for is in some row.")
    return " ".join(parts)


def of_balance(facts: CardFacts) -> str:
    """Return the evenness before and after, beside a random draw: held out where it was measured, else over leaves."""
    scope, over = (SCOPE, "stable partitions") if facts.held_out else ("level-1", "the clusters")
    rows = facts.balance[facts.balance["scope"] == scope].set_index("stage")["entropy"]
    random = f"; a random draw would give {rows['random']:.2f}" if "random" in rows.index else ""
    return f"Evenness went from {rows['before']:.2f} to {rows['after']:.2f} over {over}{random}"


def of_oversized(facts: CardFacts) -> str:
    """Return which levels above the finest have one cluster with most of the pool."""
    sentences = []
    for counts in facts.levels[1:]:
        share, clusters = float(counts.share_before.max(initial=0)), int((counts.before > 0).sum())
        if share > 0.5 and clusters > 2:
            sentences.append(
                f"{counts.title.capitalize()} says little here: one of its {clusters:,} clusters holds "
                f"{percent(share)} of the pool."
            )
    return " ".join(sentences)


def of_dispositions(facts: CardFacts) -> str:
    """Return how many rows were read and how many were kept."""
    totals = facts.totals
    share = percent(totals["kept"] / max(totals["read"], 1))
    return (
        f"Of {totals['read']:,.0f} rows read, {totals['kept']:,.0f} were kept ({share}); every other row has a reason"
    )


def of_drift(facts: CardFacts) -> str:
    """Return how many rows of the last version are in this one."""
    retained = facts.totals.get("retained", float("nan"))
    if retained != retained:
        return "Compared with the last version"
    return f"{percent(retained)} of the last version's rows are in this one too"


def of_gates(facts: CardFacts) -> str:
    """Return the verdict of the gates."""
    return summary(facts.results)
