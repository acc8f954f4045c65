"""The texts and tables of the card: key figures, rows by disposition, examples, shards and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evenkeel.expectations.wording import percent
from evenkeel.infra.quantities import count, duration
from evenkeel.tasks.dedup.drops import QUARANTINED
from evenkeel.tasks.dedup.filtered import RuleCount
from evenkeel.tasks.report import findings
from evenkeel.tasks.report.cluster_map import ClusterMap
from evenkeel.tasks.report.facts import CardFacts
from evenkeel.tasks.report.removed import Removed
from evenkeel.tasks.validate.examples import shorten

SHARDS = 20
MOST_FILTERED = 10
KINDS = {
    "exact": "exact duplicates",
    "near": "near-duplicates",
    "semantic": "semantic duplicates",
    "excluded": "excluded by a list",
    "unreadable": "with an unreadable image",
    "featureless": "without a feature: their vector is zero",
}


@dataclass(frozen=True)
class KeyFigure:
    """One of the numbers under the map. was: the value of the pool, "" where there is none to compare with."""

    name: str
    was: str
    value: str
    note: str


@dataclass(frozen=True)
class DispositionLine:
    """Rows of one disposition. key: its name as a column, which is its CSS class too. why: the reasons, in words."""

    key: str
    name: str
    rows: int
    count: str
    share: str
    why: str


@dataclass(frozen=True)
class RefusedLine:
    """A reason why shards or rows were refused. many: "1 shard" or "7 rows". examples: where, and what is there."""

    reason: str
    many: str
    examples: list[tuple[str, str]]


@dataclass(frozen=True)
class RemovedLine:
    """A dropped row beside its representative: the id and a few words of each. same: their words are equal."""

    row_id: str
    row: str
    representative_id: str
    representative: str
    same: bool
    kind: str
    similarity: str


@dataclass(frozen=True)
class FilteredLine:
    """Rows that filters removed from a shard, or of a group value."""

    scope: str
    name: str
    rows: str


@dataclass(frozen=True)
class Dispositions:
    """The rows read, by disposition, where filters removed most, and a few of the rows dropped."""

    title: str
    lines: list[DispositionLine]
    removed: list[RemovedLine]
    filtered: list[FilteredLine]
    refused: list[RefusedLine]
    more_refused: str

    @property
    def label(self) -> str:
        """The rows of every disposition in one line."""
        return ", ".join(f"{line.name}: {line.count} rows" for line in self.lines)


@dataclass(frozen=True)
class ExampleLine:
    """One row of the version. image: a data URI, or ""."""

    id: str
    text: str
    image: str


@dataclass(frozen=True)
class ClusterExamples:
    """A few rows of one cluster. change: rows before and after."""

    title: str
    change: str
    rows: list[ExampleLine]


@dataclass(frozen=True)
class SourceRow:
    """One source of the pool. url: where it is described, "" where nothing that a browser opens is known."""

    name: str
    url: str
    words: list[str]
    counts: list[str]


@dataclass(frozen=True)
class StepTime:
    """The time of one step. width: of its bar, in percent of the longest."""

    name: str
    seconds: str
    rate: str
    width: str


@dataclass(frozen=True)
class Cost:
    """The time of every step, and what it cost where an hour has a price."""

    title: str
    note: str
    rows: list[StepTime]


def lead(facts: CardFacts) -> str:
    """Return two sentences on the version: its rows, its clusters and its groups."""
    totals, leaves = facts.totals, facts.leaves
    there = leaves.before > 0
    covered = int((leaves.after[there] > 0).sum())
    median = count(round(np.median(leaves.after[there])), "row")
    size = f"the median cluster has {median}, the largest {leaves.after.max():,.0f}"
    columns = ", ".join(counts.title for counts in facts.groups)
    groups = f" Balance is also reported by {columns}, which the clustering did not use." if columns else ""
    return (
        f"{totals['kept']:,.0f} rows chosen from {totals['read']:,.0f}. "
        f"They cover {covered:,} of {there.sum():,} clusters of similar content; {size}.{groups}"
    )


def key_figures(facts: CardFacts) -> list[KeyFigure]:
    """Return the numbers under the map."""
    leaves, totals = facts.leaves, facts.totals
    rows = facts.balance[facts.balance["scope"] == "level-1"].set_index("stage")
    entropy, effective, held = rows["entropy"], rows["hill1"], facts.held_out
    apart = "over stable partitions, which the clusters had no part in; 1 is even"
    covered, there = int((leaves.after > 0).sum()), int((leaves.before > 0).sum())
    share = percent(totals["kept"] / max(totals["read"], 1))
    over = (
        [KeyFigure("Evenness, held out", f"{held['before']:.2f}", f"{held['after']:.2f}", apart)]
        if {"before", "after"} <= set(held)
        else []
    )
    return [
        KeyFigure("Rows", "", f"{totals['kept']:,.0f}", f"{share} of {totals['read']:,.0f} read"),
        KeyFigure("Clusters covered", "", percent(covered / max(there, 1)), f"{covered:,} of {there:,}"),
        *over,
        KeyFigure(
            "Evenness over clusters",
            f"{entropy['before']:.2f}",
            f"{entropy['after']:.2f}",
            "normalised entropy; 1 is even",
        ),
        KeyFigure(
            "Effective clusters", f"{effective['before']:,.0f}", f"{effective['after']:,.0f}", "as many equal ones"
        ),
    ]


def dispositions(facts: CardFacts) -> Dispositions:
    """Return rows by disposition with the reasons."""
    totals, read = facts.totals, max(facts.totals["read"], 1)
    dropped = {kind: f"{count:,} {KINDS[kind]}" for kind, count in facts.dropped.items() if kind in KINDS and count}
    if facts.copies and "excluded" in dropped:
        dropped["excluded"] += f" ({facts.copies})"
    duplicates = [words for kind, words in dropped.items() if kind not in QUARANTINED]
    refused = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in facts.quarantined.items()]
    refused += [dropped[kind] for kind in QUARANTINED if kind in dropped]
    why = {
        "kept": f"in this {facts.name}",
        "deduplicated": ", ".join(duplicates) or "none",
        "filtered": "; ".join(_rule(one) for one in facts.filtered.rules) or "none",
        "not_sampled": f"beyond the quota that “{facts.details.get('Strategy', '')}” gave their cluster",
        "quarantined": ", ".join(refused) or "none",
    }
    lines = [
        DispositionLine(
            key=name,
            name=name.replace("_", " ").capitalize(),
            rows=int(totals[name]),
            count=f"{totals[name]:,.0f}",
            share=percent(totals[name] / read),
            why=reason,
        )
        for name, reason in why.items()
    ]
    refusals = facts.refused.records
    return Dispositions(
        findings.of_dispositions(facts),
        lines,
        [_removed_line(one) for one in facts.removed],
        _filtered_lines(facts),
        _refused_lines(refusals[:SHARDS]),
        f"and {len(refusals) - SHARDS:,} more, listed by evenkeel quarantine" if len(refusals) > SHARDS else "",
    )


def _refused_lines(records: Sequence[Mapping[str, object]]) -> list[RefusedLine]:
    """Return one line per reason, with the first shards and rows that were refused for it."""
    of_reason: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    for one in records:
        of_reason.setdefault((str(one["what"]), str(one["reason"])), []).append(one)
    lines = []
    for (what, reason), found in of_reason.items():
        many = count(len(found) if what == "shard" else int(str(found[0]["rows"])), what)
        examples = [(str(one["where"]), shorten(str(one["found"]), 200)) for one in found]
        lines.append(RefusedLine(shorten(reason, 300), many, examples))
    return lines


def _rule(one: RuleCount) -> str:
    told = f", {one['missing']:,} without a value" if one["missing"] else ""
    return f"{one['rule']}: {one['removed']:,}{told}"


def _filtered_lines(facts: CardFacts) -> list[FilteredLine]:
    scopes = {"shard": facts.filtered.shards, **facts.filtered.groups}
    return [
        FilteredLine(scope, shorten(name, 60), f"{rows:,}")
        for scope, counts in scopes.items()
        for name, rows in counts.most_common(MOST_FILTERED)
    ]


def _removed_line(one: Removed) -> RemovedLine:
    (row_id, row), (representative_id, representative) = (
        (shorten(example.id, 60), shorten(example.text, 140)) for example in (one.row, one.representative)
    )
    same = one.row.text == one.representative.text
    return RemovedLine(
        row_id, row, representative_id, representative, same, KINDS[one.kind].removesuffix("s"), f"{one.similarity:.2f}"
    )


def cluster_examples(clusters: ClusterMap) -> list[ClusterExamples]:
    """Return rows from the largest, the smallest and the newest clusters of the map."""
    return [
        ClusterExamples(
            title=f"{kind}: cluster {clusters.name(place)}",
            change=f"{clusters.before[place]:,.0f} → {clusters.after[place]:,.0f} rows",
            rows=[ExampleLine(shorten(one.id, 120), one.text, one.thumbnail) for one in rows],
        )
        for kind, place, rows in clusters.examples
    ]


def licences(facts: CardFacts) -> list[list[str]]:
    """Return rows by licence, where a group column says so."""
    if facts.licences is None:
        return []
    counts = facts.licences
    return [
        [counts.names[i], f"{counts.before[i]:,.0f}", f"{counts.after[i]:,.0f}"]
        for i in np.argsort(-counts.before, kind="stable")[:SHARDS]
    ]


def sources(facts: CardFacts) -> list[SourceRow]:
    """Return the sources with most rows in the version: name, licence, creator, terms, and their rows."""
    return [
        SourceRow(
            one.source,
            one.url if one.url.startswith(("https://", "http://")) else "",
            [one.licence or "unknown", one.creator, shorten(one.terms, 120)],
            [f"{one.shards:,}", f"{one.rows:,}", f"{one.kept:,}"],
        )
        for one in facts.sources[:SHARDS]
    ]


def shards(facts: CardFacts) -> list[list[str]]:
    """Return the first shards: where, rows, refused, checksum."""
    return [
        [
            str(row.name),
            f"{row.rows:,}",
            f"{row.quarantined:,}" if not row.reason else str(row.reason),
            str(row.sha256)[:12],
        ]
        for row in facts.shards.head(SHARDS).itertuples()
    ]


def cost(facts: CardFacts) -> Cost:
    """Return the seconds of every step, rows per second, and the price where an hour has one."""
    total = sum(facts.seconds.values())
    title = f"It took {duration(total)} to make"
    note = "Time of the steps that made this version, whenever each was run; finished steps are not run again."
    price = facts.config.price_per_hour
    if price is not None:
        title += f" and cost {price * total / 3600:.2f}"
        note += f" An hour of the machines costs {price:g}."
    return Cost(title, note, _times(facts.seconds, total, facts.totals["read"]))


def _times(seconds: Mapping[str, float], total: float, read: float) -> list[StepTime]:
    """Return one line per step, and one for all of them, which has no bar."""
    longest = max(seconds.values(), default=0.0)
    widths = {name: f"{100 * spent / max(longest, 1e-9):.1f}" for name, spent in seconds.items()}
    return [
        StepTime(name, f"{spent:,.1f}", f"{read / spent:,.0f}" if spent > 0 else "–", widths.get(name, "0"))
        for name, spent in {**seconds, "all steps": total}.items()
    ]
