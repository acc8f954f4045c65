"""The card as one HTML page: facts, figures and examples put into the template, everything escaped."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from expectations.expectation import percent
from tasks.report import figures, findings
from tasks.report.facts import CardFacts
from tasks.report.landscape import Landscape
from tasks.report.reading import snippets
from tasks.validate.examples import Example, shorten

TEMPLATES = Path(__file__).parent / "templates"
SIGNS = {"passed": "✓", "failed": "✕", "warned": "!", "skipped": "–"}
SHARDS = 20
WHY = {
    "exact": "exact duplicates",
    "near": "near-duplicates",
    "semantic": "semantic duplicates",
    "excluded": "excluded by a list",
}


def render_page(facts: CardFacts, scene: Landscape) -> str:
    """Return the whole page as HTML that loads nothing."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )

    def safe(figure: figures.Figure | None) -> figures.Figure | None:
        if figure is None:
            return None
        svgs = [(kind, Markup(svg)) for kind, svg in figure.svgs]
        return figures.Figure(figure.title, figure.note, svgs, figure.header, figure.rows)

    drift = [safe(figure) for figure in figures.drift(facts)]
    version = f"v{facts.config.version}" if facts.config.version else ""
    context: dict[str, Any] = {
        "css": Markup((TEMPLATES / "card.css").read_text(encoding="utf-8")),
        "dataset": facts.config.dataset,
        "version": version,
        "version_name": f"version {facts.config.version}" if version else "the version",
        "created": facts.config.created[:10],
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
        "drift_title": findings.of_drift(facts),
        "drift_note": "Against the version before this one." if facts.previous else "The next version will say how far it moved from this one.",
        "drift_empty": "There are no group columns to compare." if facts.previous else "Drift is measured from the second version on.",
        "examples": examples(scene),
        "gates": gates(facts),
        "reading": snippets(facts.config.location),
        "shard_count": f"{len(facts.shards):,} shard{'s' if len(facts.shards) != 1 else ''}",
        "licences": licences(facts),
        "shards": shards(facts),
        "more_shards": f"and {len(facts.shards) - SHARDS:,} more, listed in manifest.json" if len(facts.shards) > SHARDS else "",
        "details": list(facts.details.items()),
        "recipe": yaml.safe_dump(facts.config.recipe, sort_keys=False, allow_unicode=True, width=88) if facts.config.recipe else "",
        "cost": cost(facts),
    }
    context["contents"] = [
        (key, name)
        for key, name, there in (
            ("sizes", "Cluster sizes", True),
            ("groups", "Groups", bool(context["groups"])),
            ("balance", "Balance", True),
            ("fates", "What was dropped", True),
            ("drift", "Drift", True),
            ("examples", "Examples", bool(context["examples"])),
            ("gates", "Checks", True),
            ("read", "How to read it", True),
            ("provenance", "Provenance", True),
            ("cost", "Time and cost", True),
        )
        if there
    ]
    return environment.get_template("card.html.j2").render(context)


def printable(value: Any) -> Any:
    """Return text without control characters (a terminal escape, a zero byte); markup of ours passes unchanged."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in value)
    return value


def lead(facts: CardFacts) -> str:
    """Return what the version is, in two sentences."""
    totals, leaves = facts.totals, facts.leaves
    covered, there = int((leaves.after > 0).sum()), int((leaves.before > 0).sum())
    groups = ", ".join(spread.title for spread in facts.groups)
    told = f" Balance is also reported by {groups}, which the clustering never saw." if groups else ""
    return (
        f"{totals['kept']:,.0f} rows chosen from {totals['read']:,.0f}, so that {covered:,} of {there:,} kinds of content are "
        f"in it, each with about as many rows as the others.{told}"
    )


def verdict(facts: CardFacts) -> dict[str, str]:
    """Return the tone, the sign and the words of the gates' verdict."""
    tone = "failed" if facts.failed else "warned" if facts.warned else "passed"
    return {"tone": tone, "sign": SIGNS[tone], "words": findings.of_gates(facts)}


def key_figures(facts: CardFacts) -> list[dict[str, str]]:
    """Return the four numbers under the map."""
    leaves, totals = facts.leaves, facts.totals
    rows = facts.balance[facts.balance["scope"] == "level-1"].set_index("stage")
    covered, there = int((leaves.after > 0).sum()), int((leaves.before > 0).sum())
    return [
        {"name": "Rows", "was": "", "value": f"{totals['kept']:,.0f}", "note": f"{percent(totals['kept'] / max(totals['read'], 1))} of {totals['read']:,.0f} read"},
        {"name": "Clusters covered", "was": "", "value": percent(covered / max(there, 1)), "note": f"{covered:,} of {there:,}"},
        {"name": "Evenness", "was": f"{rows['entropy']['before']:.2f}", "value": f"{rows['entropy']['after']:.2f}", "note": "normalised entropy; 1 is even"},
        {"name": "Effective clusters", "was": f"{rows['hill1']['before']:,.0f}", "value": f"{rows['hill1']['after']:,.0f}", "note": "as diverse as so many equal ones"},
    ]  # fmt: skip


def fates(facts: CardFacts) -> dict[str, Any]:
    """Return rows by fate with the reasons."""
    totals, read = facts.totals, max(facts.totals["read"], 1)
    excluded = facts.dropped.get("excluded", 0)
    duplicates = [f"{count:,} {WHY[kind]}" for kind, count in facts.dropped.items() if kind in WHY and kind != "excluded" and count]
    refused = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in facts.quarantined.items()]
    why = {
        "kept": "in this version",
        "deduplicated": ", ".join(duplicates) or "none",
        "not_sampled": "their clusters had enough rows already",
        "quarantined": ", ".join(refused + ([f"{excluded:,} {WHY['excluded']}"] if excluded else [])) or "none",
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
    }


def examples(scene: Landscape, each: int = 2) -> list[dict[str, Any]]:
    """Return rows from the largest, the smallest and the newest clusters of the map."""
    there = [place for place in np.argsort(-scene.before, kind="stable") if scene.examples.get(int(place))]
    wanted = [("Largest", there[:each]), ("Smallest", there[::-1][:each]), ("Newest", scene.newest[:each])]
    seen: set[int] = set()
    found = []
    for kind, places in wanted:
        for place in map(int, places):
            if place in seen or not scene.examples.get(place):
                continue
            seen.add(place)
            found.append(
                {
                    "title": f"{kind}: cluster {scene.name(place)}",
                    "change": f"{scene.before[place]:,.0f} → {scene.after[place]:,.0f} rows",
                    "rows": [_row(one) for one in scene.examples[place][:3]],
                }
            )
    return found


def _row(example: Example) -> dict[str, str]:
    image = ""
    if example.image_type and example.image:
        image = f"data:{example.image_type};base64,{base64.b64encode(example.image).decode()}"
    return {"id": shorten(example.id, 120), "text": example.text, "image": image}


def gates(facts: CardFacts) -> dict[str, Any]:
    """Return the results of the checks, failures first."""
    order = {"failed": 0, "warned": 1, "passed": 2}
    shown = sorted((one for one in facts.results if one.status != "skipped"), key=lambda one: order[one.status])
    return {
        "title": findings.of_gates(facts),
        "shown": [{**_gate(one), "sign": SIGNS[one.status]} for one in shown],
        "skipped": [_gate(one) for one in facts.results if one.status == "skipped"],
        "docs": "docs/index.html" if facts.config.location else "",
    }


def _gate(one: Any) -> Mapping[str, Any]:
    sentence = one.sentence[:1].upper() + one.sentence[1:]
    return {"status": one.status, "sentence": sentence, "reason": one.reason, "blame": one.blame}


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
        [str(row.uri), f"{row.rows:,}", f"{row.quarantined:,}" if not row.reason else str(row.reason), str(row.sha256)[:12]]
        for row in facts.shards.head(SHARDS).itertuples()
    ]


def cost(facts: CardFacts) -> dict[str, Any]:
    """Return the seconds of every step, rows per second, and the price where an hour has one."""
    total, read = sum(facts.seconds.values()), facts.totals["read"]
    rows = [[name, f"{spent:,.1f}", f"{read / spent:,.0f}" if spent > 0 else "–"] for name, spent in facts.seconds.items()]
    price = facts.config.currency_per_hour
    note = "Time of the steps that made this version, whenever each was run; finished steps are not run again."
    if price is not None:
        note += f" At {price:g} an hour that is {price * total / 3600:.2f}."
    return {"title": f"It took {_duration(total)} to make", "note": note, "rows": rows}


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
