"""The files of a version that say where it comes from: sources, PROV and Croissant."""

import importlib.metadata
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from evenkeel.infra import storage
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.source_table import SOURCES
from evenkeel.tasks.publish.croissant import CROISSANT, render_croissant
from evenkeel.tasks.publish.manifest import Staged
from evenkeel.tasks.publish.prov import PROV, render_prov

MOST_LINES = 1_000
ATTRIBUTES = ("source", "licence", "creator", "terms", "url")


def of_sources(ref: StepRef | None) -> list[dict[str, object]]:
    """Return the lines of the table of sources, given the signal that keeps it; none without one."""
    if ref is None:
        return []
    lines: list[dict[str, object]] = read_table(_table(ref)).to_pylist()
    return lines


def origin_files(
    staged: Staged,
    dataset: str,
    number: int,
    recipe: Mapping[str, object],
    sources: StepRef | None,
    held: Collection[str],
) -> dict[str, str | bytes]:
    """Return prov.json and croissant.json, and sources.parquet where the recipe has a table of sources.

    held: the sources that rows of the version come from.
    """
    lines = of_sources(sources)
    of_rows = [line for line in lines if line["source"] in held]
    licences = sorted({str(line["licence"]) for line in of_rows if line["licence"]})
    day = datetime.now(UTC).date().isoformat()
    software = f"evenkeel-{importlib.metadata.version('evenkeel')}"
    return {
        PROV: render_prov(staged, dataset, number, recipe, lines, software),
        CROISSANT: render_croissant(staged, dataset, number, day, licences, of_rows),
        **({} if sources is None else {SOURCES: _table(sources)}),
    }


def of_document(sources: StepRef | None) -> dict[str, object]:
    """Return what the manifest says of the sources: what each line says, and how many shards it stands for."""
    lines = of_sources(sources)
    if not lines:
        return {}
    about = [{**{name: line[name] for name in ATTRIBUTES}, "rows": line["rows"]} for line in lines[:MOST_LINES]]
    return {"provenance": {"sources": about, "count": len(lines)}}


def _table(ref: StepRef) -> str:
    return storage.join(ref.uri, "fit", SOURCES)
