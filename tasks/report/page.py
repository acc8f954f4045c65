"""The card as one HTML page: facts, figures and examples put into the template, everything escaped."""

from dataclasses import replace
from pathlib import Path

import yaml
from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from evenkeel.expectations.pages import environment
from evenkeel.expectations.result import SIGNS, worst_first, worst_status
from evenkeel.tasks.report import distances, figures, findings, sections
from evenkeel.tasks.report.cluster_map import ClusterMap
from evenkeel.tasks.report.facts import CardFacts
from evenkeel.tasks.report.figures import Figure, SignalFigures
from evenkeel.tasks.report.reading import snippets
from evenkeel.tasks.report.run_mark import RUN_MARK
from evenkeel.tasks.report.treemap import ClusterBoxes

TEMPLATES = Path(__file__).parent / "templates"


def render_page(facts: CardFacts, clusters: ClusterMap, boxes: ClusterBoxes | None) -> str:
    """Return the whole page as HTML that loads nothing."""
    with debug_mode(False):  # Altair checks every part of a chart against a schema, which takes half of drawing
        pictures = _pictures(facts, clusters)
    context = {**_identity(facts), **pictures, **_tables(facts, clusters), "boxes": boxes}
    return environment(TEMPLATES).get_template("card.html.j2").render(**context, contents=_contents(context))


def _identity(facts: CardFacts) -> dict[str, object]:
    """Return what the head of the page shows: names, headline and verdict."""
    version, status = None if facts.blocked else facts.config.version, worst_status(facts.results)
    past = facts.config.history[-1] if facts.config.history else None
    return {
        "dataset": facts.config.dataset,
        "version": f"v{version}" if version else "",
        "what": facts.name,
        "blocked": facts.blocked,
        "version_name": f"version {version}" if version else f"the {facts.name}",
        "previous": past if past is not None and past.folder else None,
        "run_mark": Markup(RUN_MARK),
        "created": facts.config.created,
        "tier": "" if facts.config.tier is None or facts.blocked else f"tier {facts.config.tier.name}",
        "headline": findings.headline(facts),
        "failures": findings.of_failures(facts),
        "lead": sections.lead(facts),
        "hedge": findings.of_hedge(facts),
        "verdict": {"tone": status, "sign": SIGNS[status], "words": findings.of_gates(facts)},
    }


def _pictures(facts: CardFacts, clusters: ClusterMap) -> dict[str, object]:
    """Return the figures of the page."""
    history, signals = figures.history(facts), figures.signals(facts)
    return {
        "map": _trusted(figures.cluster_map(facts, clusters)),
        "sizes": _trusted(figures.sizes(facts)),
        "groups": [_trusted(figure) for _, figure in figures.groups(facts)],
        "tags": [_trusted(figure) for figure in figures.tags(facts)],
        "columns": facts.columns,
        "signals": _trusted_signals(signals) if signals is not None else None,
        "balance": _trusted(figures.baselines(facts)),
        "history": _trusted(history) if history is not None else None,
        "drift": [_trusted(figure) for figure in figures.drift(facts)],
        "distances": [_trusted(figure) for figure in distances.pictures(facts.distances)],
        "distances_title": distances.title(facts.distances),
        "distances_note": distances.NOTE,
        "drift_title": findings.of_drift(facts) if facts.previous else "",
        "drift_note": "Against the version before this one.",
    }


def _tables(facts: CardFacts, clusters: ClusterMap) -> dict[str, object]:
    """Return the texts and tables of the page."""
    shards, recipe = len(facts.shards), facts.config.recipe
    return {
        "figures": sections.key_figures(facts),
        "followed": facts.followed,
        "dispositions": sections.dispositions(facts),
        "examples": sections.cluster_examples(clusters),
        "checks": worst_first(facts.results),
        "skipped": [one for one in facts.results if one.status == "skipped"],
        "location": facts.config.location,
        "reading": snippets(facts.config.location),
        "shard_count": f"{shards:,} shard{'s' if shards != 1 else ''}",
        "licences": sections.licences(facts),
        "sources": sections.sources(facts),
        "more_sources": f"and {len(facts.sources) - sections.SHARDS:,} more, listed in sources.parquet"
        if len(facts.sources) > sections.SHARDS
        else "",
        "shards": sections.shards(facts),
        "more_shards": f"and {shards - sections.SHARDS:,} more, listed in manifest.json"
        if shards > sections.SHARDS
        else "",
        "details": list(facts.details.items()),
        "recipe": yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=88) if recipe else "",
        "cost": sections.cost(facts),
    }


def _contents(context: dict[str, object]) -> list[tuple[str, str]]:
    """Return the sections that the page has, as (id, name)."""
    all_sections = (
        ("topics", "Topics", bool(context["boxes"])),
        ("sizes", "Cluster sizes", True),
        ("groups", "Groups", bool(context["groups"])),
        ("tags", "Tags", bool(context["tags"])),
        ("signals", "Signals", bool(context["signals"])),
        ("following", "Training", bool(context["followed"])),
        ("columns", "Columns", bool(context["columns"])),
        ("balance", "Balance", True),
        ("dispositions", "What was dropped", True),
        ("drift", "Drift", bool(context["drift_title"])),
        ("distances", "Distances", bool(context["distances_title"])),
        ("examples", "Examples", bool(context["examples"])),
        ("gates", "Checks", True),
        ("read", "How to read it", not context["blocked"]),
        ("provenance", "Provenance", True),
        ("cost", "Time and cost", True),
    )
    return [(key, name) for key, name, there in all_sections if there]


def _trusted(figure: Figure) -> Figure:
    """Return a figure whose drawings are not escaped: they are ours."""
    svgs: list[tuple[str, str]] = [(kind, Markup(svg)) for kind, svg in figure.svgs]
    return replace(figure, svgs=svgs)


def _trusted_signals(figures: SignalFigures) -> SignalFigures:
    return replace(figures, shown=[replace(one, svg=Markup(one.svg)) for one in figures.shown])
