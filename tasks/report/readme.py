"""The version's README in the form that dataset hubs read: a YAML header, then what it is and how to read it."""

import yaml

from evenkeel.tasks.report import findings
from evenkeel.tasks.report.facts import CardFacts
from evenkeel.tasks.report.reading import snippets
from evenkeel.tasks.report.sections import SHARDS, lead
from evenkeel.tasks.report.summary import balance_table, text

SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
HUB_LICENCES = """
apache-2.0 mit bsd-2-clause bsd-3-clause isc unlicense zlib mpl-2.0 gpl-2.0 gpl-3.0 lgpl-3.0 agpl-3.0 epl-2.0 eupl-1.2
cc0-1.0 cc-by-2.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-4.0 cc-by-nc-sa-4.0 cc-by-nd-4.0
cc-by-nc-nd-4.0 odbl odc-by pddl artistic-2.0 wtfpl
"""
FENCES = {"pandas": "python", "Polars": "python", "DuckDB": "sql", "datasets": "python", "PyTorch": "python"}


def render_readme(facts: CardFacts) -> str:
    """Return the README of the version."""
    lines = ["---", yaml.safe_dump(header(facts), sort_keys=False, allow_unicode=True).strip(), "---", ""]
    version = ", not published" if facts.blocked else f" v{facts.config.version}" if facts.config.version else ""
    lines += [
        f"# {text(facts.config.dataset)}{version}",
        "",
        f"**{text(findings.headline(facts))}.** {text(lead(facts))}",
        "",
        *([text(hedge), ""] if (hedge := findings.of_hedge(facts)) else []),
    ]
    lines += [text(findings.of_failures(facts)), ""] if facts.blocked else []
    lines += ["The whole story, with pictures, is in `card.html` beside this file.", "", "## Balance", ""]
    lines += balance_table(facts.balance)
    lines += ["", *(f"- {text(findings.of_group(counts, facts.name))}" for counts in facts.groups), ""]
    lines += ["## Checks", "", f"{text(findings.of_gates(facts))}.", "", *_reading(facts)]
    lines += ["## Where it comes from", "", f"{text(findings.of_dispositions(facts))}.", "", *_sources(facts)]
    lines += [f"- {name}: {text(value)}" for name, value in facts.details.items()]
    lines += [
        "",
        "Columns that begin with `ek_` say where a row came from (`ek_row_id`, `ek_shard`, `ek_row`), its clusters "
        "from the finest level up (`ek_cluster_1`, ...), how often it counts (`ek_copies`), one over the probability "
        "that it was kept (`ek_weight`), and the size of its duplicate group, the row included (`ek_group_size`).",
    ]
    return "\n".join(lines) + "\n"


def _reading(facts: CardFacts) -> list[str]:
    """Return how a version is read as lines, none where nothing is published."""
    if facts.blocked:
        return []
    lines = ["## How to read it", ""]
    if facts.config.location:
        where = text(facts.config.location)
        lines += [f"It was published at {where}; put the folder of this file in its place where it is a copy.", ""]
    for name, code in snippets(facts.config.location):
        lines += [f"{name}:", "", f"```{FENCES[name]}", code, "```", ""]
    return lines


def _sources(facts: CardFacts) -> list[str]:
    """Return the sources with most rows in the version as the lines of a table, none where no table says them."""
    if not facts.sources:
        return []
    lines = ["| source | licence | creator | rows in the version |", "| --- | --- | --- | ---: |"]
    for one in facts.sources[:SHARDS]:
        lines.append(f"| {text(one.source)} | {text(one.licence)} | {text(one.creator)} | {one.kept:,} |")
    more = len(facts.sources) - SHARDS
    return [*lines, *(["", f"and {more:,} more, listed in `sources.parquet`."] if more > 0 else []), ""]


def header(facts: CardFacts) -> dict[str, object]:
    """Return the YAML header: size, licences where a column names them, and where the data files are.

    A hub refuses a licence that it does not know, so one that it does not is `other`, with the names as details.
    """
    rows = facts.totals["kept"]
    document: dict[str, object] = {"pretty_name": facts.config.dataset}
    if facts.licences is not None:
        held = [name for name, after in zip(facts.licences.names, facts.licences.after, strict=True) if after > 0]
        ids = {name.lower() for name in held}
        document["license"] = sorted(ids) if ids and ids <= set(HUB_LICENCES.split()) else "other"
        if document["license"] == "other":
            document["license_details"] = ", ".join(sorted(held)[:20])
    document["size_categories"] = [next((name for limit, name in SIZES if rows < limit), "n>1B")]
    document["tags"] = ["evenkeel", "curated", "balanced"]
    document["configs"] = [{"config_name": "default", "data_files": [{"split": "train", "path": "data/**/*.parquet"}]}]
    return document
