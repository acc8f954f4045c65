"""The catalog page of a dataset: its versions, tags, balance over time, links, and its clusters to search in."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from evenkeel.expectations.pages import environment
from evenkeel.infra import storage
from evenkeel.infra.tables import read_table
from evenkeel.tasks.publish.layout import CLUSTERS
from evenkeel.tasks.publish.table import Version

PAGE = "index.html"
TEMPLATES = Path(__file__).parent / "templates"
MOST_CLUSTERS, MOST_LETTERS = 2_000, 300
WIDE, HIGH, EDGE = 160, 28, 4


def write_catalog_page(home: str, dataset: str, versions: Sequence[Version]) -> None:
    """Write the page into a dataset's folder. versions: newest first."""
    current = _current(versions)
    clusters = None if current is None else _clusters(current)
    storage.write_bytes(storage.join(home, PAGE), render(home, dataset, versions, clusters).encode())


def render(home: str, dataset: str, versions: Sequence[Version], clusters: pa.Table | None) -> str:
    """Return the page as HTML that loads nothing; every text of the data is escaped."""
    current = _current(versions)
    state = "no version yet" if current is None else f"v{current.version} is current, {current.rows:,} rows"
    more = 0 if clusters is None else clusters.num_rows - MOST_CLUSTERS
    shown = [] if clusters is None else [_cluster(one) for one in _foremost(clusters).to_pylist()]
    return (
        environment(TEMPLATES)
        .get_template("catalog.html.j2")
        .render(
            dataset=dataset,
            state=f"{state}; {len(versions):,} version{'' if len(versions) == 1 else 's'}",
            line=sparkline([value for one in reversed(versions) if (value := balance(one)) is not None]),
            versions=[_row(home, one) for one in versions],
            clusters=shown,
            more=f"and {more:,} more, in {CLUSTERS}" if more > 0 else "",
        )
    )


def balance(version: Version) -> float | None:
    """Return the evenness of a version over its finest clusters (normalised entropy), None where it is not known."""
    value = version.metrics.get("entropy_after")
    return float(value) if isinstance(value, int | float) else None


def sparkline(values: Sequence[float]) -> dict[str, str]:
    """Return a line of the evenness of all versions, the oldest first; empty for fewer than two."""
    if len(values) < 2:
        return {}
    low, span = min(values), (max(values) - min(values)) or 1.0
    step = (WIDE - 2 * EDGE) / (len(values) - 1)
    points = [
        (EDGE + step * place, HIGH - EDGE - (HIGH - 2 * EDGE) * (v - low) / span) for place, v in enumerate(values)
    ]
    about = f"Evenness over {len(values)} versions: {values[0]:.3f} at first, {values[-1]:.3f} now"
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return {"about": about, "points": drawn, "x": f"{points[-1][0]:.1f}", "y": f"{points[-1][1]:.1f}"}


def _current(versions: Sequence[Version]) -> Version | None:
    return next((one for one in versions if one.current), None)


def _row(home: str, version: Version) -> dict[str, object]:
    value = balance(version)
    return {
        "number": version.version,
        "tags": version.tags,
        "held": version.held is not None,
        "made": version.created[:16].replace("T", " "),
        "rows": f"{version.rows:,}",
        "evenness": "" if value is None else f"{value:.3f}",
        "folder": quote(version.location.removeprefix(home).strip("/")),
    }


def _clusters(version: Version) -> pa.Table | None:
    try:
        return read_table(storage.join(version.location, CLUSTERS))
    except FileNotFoundError:
        return None


def _foremost(clusters: pa.Table) -> pa.Table:
    """Return the clusters that the page has room for: the coarsest level first, and those of most kept rows first."""
    keys = [(name, "descending") for name in ("level", "kept") if name in clusters.column_names]
    return (clusters.sort_by(keys) if keys else clusters).slice(0, MOST_CLUSTERS)


def _cluster(row: dict[str, object]) -> dict[str, object]:
    """Return what the page says of a cluster; a field that the version's file does not have stays empty."""
    return {
        "level": row.get("level", ""),
        "name": _short(row.get("name")),
        "words": _short(row.get("words")),
        "pool": _number(row.get("pool")),
        "kept": _number(row.get("kept")),
        "examples": _short(row.get("representatives")),
    }


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str("" if value is None else value)
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]} …"
