"""The card as one HTML page: facts, figures and examples put into the template, everything escaped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from markupsafe import Markup

from evenkeel.expectations.pages import environment
from evenkeel.expectations.result import SIGNS, worst_first, worst_status
from evenkeel.expectations.wording import percent
from evenkeel.tasks.dedup.drops import REFUSED
from evenkeel.tasks.report import figures, findings
from evenkeel.tasks.report.facts import CardFacts
from evenkeel.tasks.report.landscape import Landscape
from evenkeel.tasks.report.reading import snippets
from evenkeel.tasks.report.removed import Removed
from evenkeel.tasks.validate.examples import shorten

TEMPLATES = Path(__file__).parent / "templates"
SHARDS = 20
WHY = {
    "exact": "exact duplicates",
    "near": "near-duplicates",
    "semantic": "semantic duplicates",
    "excluded": "excluded by a list",
    "unreadable": "with an unreadable image",
}


def render_page(facts: CardFacts, scene: Landscape) -> str:
    """Return the whole page as HTML that loads nothing."""

    def safe(figure: figures.Figure | None) -> figures.Figure | None:
        if figure is None:
            return None
        svgs: list[tuple[str, str]] = [(kind, Markup(svg)) for kind, svg in figure.svgs]
        return replace(figure, svgs=svgs)

    drift = [safe(figure) for figure in figures.drift(facts)]
    version = f"v{facts.config.version}" if facts.config.version else ""
    context: dict[str, Any] = {
        "dataset": facts.config.dataset,
        "version": version,
        "version_name": f"version {facts.config.version}" if version else "the version",
        "created": facts.config.created,
        "headline": findings.headline(facts),
        "lead": lead(facts),
        "verdict": verdict(facts),
        "map": safe(figures.landscape(facts, scene)),
        "figures": key_figures(facts),
        "sizes": safe(figures.sizes(facts)),
        "groups": [safe(figure) for _, figure in figures.groups(facts)],
        "balance": safe(figures.baselines(facts)),
        "history": safe(figures.history(facts)),
        "fates": fates(facts),
        "drift": drift,
        "drift_title": findings.of_drift(facts) if facts.previous else "",
        "drift_note": "Against the version before this one.",
        "examples": examples(scene),
        "gates": gates(facts),
        "reading": snippets(facts.config.location),
        "shard_count": f"{len(facts.shards):,} shard{'s' if len(facts.shards) != 1 else ''}",
        "licences": licences(facts),
        "shards": shards(facts),
        "more_shards": f"and {len(facts.shards) - SHARDS:,} more, listed in manifest.json"
        if len(facts.shards) > SHARDS
        else "",
        "details": list(facts.details.items()),
        "recipe": yaml.safe_dump(facts.config.recipe, sort_keys=False, allow_unicode=True, width=88)
        if facts.config.recipe
        else "",
        "cost": cost(facts),
    }
    context["contents"] = [
        (key, name)
        for key, name, there in (
            ("sizes", "Cluster sizes", True),
            ("groups", "Groups", bool(context["groups"])),
            ("balance", "Balance", True),
            ("fates", "What was dropped", True),
            ("drift", "Drift", facts.previous),
            ("examples", "Examples", bool(context["examples"])),
            ("gates", "Checks", True),
            ("read", "How to read it", True),
            ("provenance", "Provenance", True),
            ("cost", "Time and cost", True),
        )
        if there
    ]
    return environment([TEMPLATES]).get_template("card.html.j2").render(context)


def lead(facts: CardFacts) -> str:
    """Return what the version is, in two sentences."""
    totals, leaves = facts.totals, facts.leaves
    there = leaves.before > 0
    covered = int((leaves.after[there] > 0).sum())
    size = f"the middle one has {np.median(leaves.after[there]):,.0f} rows, the largest {leaves.after.max():,.0f}"
    groups = ", ".join(spread.title for spread in facts.groups)
    told = f" Balance is also reported by {groups}, which the clustering never saw." if groups else ""
    return (
        f"{totals['kept']:,.0f} rows chosen from {totals['read']:,.0f}. They cover {covered:,} of {there.sum():,} "
        f"clusters of like content; {size}.{told}"
    )


def verdict(facts: CardFacts) -> dict[str, str]:
    """Return the tone, the sign and the words of the gates' verdict."""
    status = worst_status(facts.results)
    return {"tone": status, "sign": SIGNS[status], "words": findings.of_gates(facts)}


def key_figures(facts: CardFacts) -> list[dict[str, str]]:
    """Return the four numbers under the map."""
    leaves, totals = facts.leaves, facts.totals
    rows = facts.balance[facts.balance["scope"] == "level-1"].set_index("stage")
    entropy, effective = rows["entropy"], rows["hill1"]
    covered, there = int((leaves.after > 0).sum()), int((leaves.before > 0).sum())
    share = percent(totals["kept"] / max(totals["read"], 1))
    lines = [
        ("Rows", "", f"{totals['kept']:,.0f}", f"{share} of {totals['read']:,.0f} read"),
        ("Clusters covered", "", percent(covered / max(there, 1)), f"{covered:,} of {there:,}"),
        ("Evenness", f"{entropy['before']:.2f}", f"{entropy['after']:.2f}", "normalised entropy; 1 is even"),
        ("Effective clusters", f"{effective['before']:,.0f}", f"{effective['after']:,.0f}", "as many equal ones"),
    ]
    return [dict(zip(("name", "was", "value", "note"), line, strict=True)) for line in lines]


def fates(facts: CardFacts) -> dict[str, Any]:
    """Return rows by fate with the reasons."""
    totals, read = facts.totals, max(facts.totals["read"], 1)
    dropped = {kind: f"{count:,} {WHY[kind]}" for kind, count in facts.dropped.items() if kind in WHY and count}
    duplicates = [words for kind, words in dropped.items() if kind not in REFUSED]
    refused = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in facts.quarantined.items()]
    refused += [dropped[kind] for kind in REFUSED if kind in dropped]
    why = {
        "kept": "in this version",
        "deduplicated": ", ".join(duplicates) or "none",
        "not_sampled": f"beyond the quota that “{facts.details.get('Strategy', '')}” gave their cluster",
        "quarantined": ", ".join(refused) or "none",
    }
    parts = [
        {
            "key": fate,
            "name": fate.replace("_", " ").capitalize(),
            "rows": int(totals[fate]),
            "count": f"{totals[fate]:,.0f}",
            "share": percent(totals[fate] / read),
            "why": reason,
        }
        for fate, reason in why.items()
    ]
    return {
        "title": findings.of_fates(facts),
        "parts": parts,
        "label": ", ".join(f"{part['name']}: {part['count']} rows" for part in parts),
        "removed": [{"why": WHY[one.kind], "alike": f"{one.similarity:.2f}", **_pair(one)} for one in facts.removed],
    }


def _pair(removed: Removed) -> dict[str, str]:
    """Return the two rows in a few words each."""
    pair = {"row": removed.row, "stands": removed.stands}
    return {name: f"{shorten(one.id, 60)}: {shorten(one.text, 140)}" for name, one in pair.items()}


def examples(scene: Landscape) -> list[dict[str, Any]]:
    """Return rows from the largest, the smallest and the newest clusters of the map."""
    return [
        {
            "title": f"{kind}: cluster {scene.name(place)}",
            "change": f"{scene.before[place]:,.0f} → {scene.after[place]:,.0f} rows",
            "rows": [{"id": shorten(one.id, 120), "text": one.text, "image": one.thumbnail} for one in rows],
        }
        for kind, place, rows in scene.showcase
    ]


def gates(facts: CardFacts) -> dict[str, Any]:
    """Return the results of the checks, failures first."""
    return {
        "title": findings.of_gates(facts),
        "checks": worst_first(facts.results),
        "skipped": [one for one in facts.results if one.status == "skipped"],
        "docs": facts.docs,
    }


def licences(facts: CardFacts) -> list[list[str]]:
    """Return rows by licence, where a group column says so."""
    if facts.licences is None:
        return []
    spread = facts.licences
    return [
        [spread.names[i], f"{spread.before[i]:,.0f}", f"{spread.after[i]:,.0f}"]
        for i in np.argsort(-spread.before, kind="stable")[:SHARDS]
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


def cost(facts: CardFacts) -> dict[str, Any]:
    """Return the seconds of every step, rows per second, and the price where an hour has one."""
    total, read = sum(facts.seconds.values()), facts.totals["read"]
    longest = max(facts.seconds.values(), default=0.0)
    rows = [_step(name, spent, longest, read) for name, spent in facts.seconds.items()]
    rows.append({**_step("all steps", total, longest, read), "width": "0"})
    price = facts.config.price_per_hour
    title = f"It took {_duration(total)} to make"
    note = "Time of the steps that made this version, whenever each was run; finished steps are not run again."
    if price is not None:
        title += f" and cost {price * total / 3600:.2f}"
        note += f" An hour of the machines costs {price:g}."
    return {"title": title, "note": note, "rows": rows}


def _step(name: str, spent: float, longest: float, read: float) -> dict[str, str]:
    """Return one line of the times; width: of its bar, in percent of the longest."""
    rate = f"{read / spent:,.0f}" if spent > 0 else "–"
    return {"name": name, "seconds": f"{spent:,.1f}", "rate": rate, "width": f"{100 * spent / max(longest, 1e-9):.1f}"}


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
