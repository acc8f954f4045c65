"""Draw the pictures of docs/CONCEPTS.md: `python -m tests.concept_pictures [DATASET]`.

DATASET is where the recipe `digits` published, for the one picture that shows data; without it that one stays.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

IMAGES = Path(__file__).parent.parent / "docs" / "images"
STYLE = """<style>
text{fill:#1c2126;font-size:14px}.says{fill:#5c6670;font-size:13px}.name{font-weight:600}.on{fill:#fff}
.card{fill:#fcfbf9;stroke:#cfc9bf}.before{fill:#b98a3c}.after{fill:#0f6b73}.pale{fill:#e9e4da;stroke:#cfc9bf}
path{stroke:#5c6670;fill:none;stroke-width:1.5}
@media (prefers-color-scheme:dark){text{fill:#e8e6e1}.says{fill:#a8b0b8}.on{fill:#fff}
.card{fill:#1a1d20;stroke:#3a4046}.before{fill:#d0a252}.after{fill:#2f8f97}.pale{fill:#2b3035;stroke:#3a4046}path{stroke:#a8b0b8}}
</style>"""


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return a line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """Return a rectangle."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" class="{kind}"/>'


def picture(name: str, title: str, width: int, height: int, parts: Iterable[str]) -> None:
    """Write a picture to docs/images."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif">',
        STYLE,
        f'<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="10" class="card"/>',
        *parts,
        "</svg>\n",
    ]
    (IMAGES / name).write_text("\n".join(lines))


def before_after(dataset: str) -> None:
    """Draw the share of every digit in the pool and in the version."""
    import evenkeel
    from evenkeel.tasks.ingest.readers.digits import MOST

    kept = evenkeel.open(dataset).to_pandas()["digit"].astype(int).value_counts()
    pool = {digit: MOST // (digit + 1) for digit in range(10)}
    parts = [text(24, 34, "Handwritten digits: share of each in the pool and in the version", "name")]
    base, tall, top = 250, 190, max(pool.values()) / sum(pool.values())
    for place, digit in enumerate(sorted(pool, key=lambda one: -pool[one])):
        x = 40 + place * 86
        for offset, kind, share in (
            (0, "before", pool[digit] / sum(pool.values())),
            (30, "after", kept.get(digit, 0) / kept.sum()),
        ):
            height = tall * share / top
            parts += [box(x + offset, base - height, 26, height, kind)]
            parts += [text(x + offset + 13, base - height - 6, f"{100 * share:.0f}", "says", "middle")]
        parts.append(text(x + 28, base + 22, str(digit), "name", "middle"))
    parts += [box(640, 54, 14, 14, "before"), text(662, 66, "pool, per cent", "says")]
    parts += [box(640, 78, 14, 14, "after"), text(662, 90, "version, no label was looked at", "says")]
    picture("before-after.svg", "Share of every digit before and after", 900, 290, parts)


def dispositions() -> None:
    """Draw where the rows of a pool go."""
    ends: Sequence[tuple[str, str, str, float, str]] = (
        ("quarantined", "unreadable, excluded, taken down", "ingest, dedup", 28, "pale"),
        ("deduplicated", "a copy; names its representative", "dedup", 58, "pale"),
        ("filtered", "a rule; names which", "filter", 40, "pale"),
        ("not sampled", "its cluster had enough", "sample", 118, "pale"),
        ("kept", "in the version, with its weight", "sample", 56, "after"),
    )
    total = sum(end[3] for end in ends)
    parts = [text(24, 34, "Every row that is read ends in one place, and the counts add up", "name")]
    parts += [box(40, 60, 130, total, "before"), text(105, 60 + total / 2, "read", "on name", "middle")]
    start, y = 60.0, 60.0
    for name, says, step, height, kind in ends:
        leaves, comes = start + height / 2, y + height / 2
        parts.append(f'<path d="M170 {leaves:g}C260 {leaves:g} 260 {comes:g} 350 {comes:g}"/>')
        parts += [box(350, y, 150, height, kind)]
        parts += [text(425, y + height / 2 + 5, name, "on name" if kind == "after" else "name", "middle")]
        parts += [text(516, y + height / 2 + 5, f"{says}  ({step})", "says")]
        start, y = start + height, y + height + 10
    picture("dispositions.svg", "Dispositions of rows", 860, int(y) + 24, parts)


def quotas() -> None:
    """Draw quotas of one budget over clusters of unlike sizes, by three rules."""
    sizes = (480, 210, 90, 40, 20, 10)
    budget = 150
    rows = (
        ("the pool", [float(size) for size in sizes], "before", "850 rows in six clusters"),
        ("a random draw", [budget * size / sum(sizes) for size in sizes], "before", "150 rows, in the pool's shares"),
        ("even quotas", even(sizes, budget), "after", "150 rows; a cluster with fewer gives what it has"),
    )
    parts = [text(24, 34, "The same budget, shared out twice", "name")]
    for line, (name, values, kind, says) in enumerate(rows):
        y, x, scale = 62 + line * 74, 190.0, 600 / sum(values)
        parts += [text(24, y + 24, name, "name"), text(24, y + 42, says.split(",")[0].split(";")[0], "says")]
        for value in values:
            parts.append(box(x, y, max(value * scale - 2, 1.5), 46, kind))
            if value * scale > 26:
                parts.append(text(x + value * scale / 2 - 1, y + 29, f"{value:.0f}", "on", "middle"))
            x += value * scale
    picture("quotas.svg", "Quotas of a random draw and even quotas", 820, 290, parts)


def even(sizes: Sequence[int], budget: int) -> list[float]:
    """Return equal quotas that no size is below, by water-filling."""
    level, left, given = 0.0, float(budget), dict.fromkeys(range(len(sizes)), 0.0)
    for rank, place in enumerate(sorted(given, key=lambda one: sizes[one])):
        level = left / (len(sizes) - rank)
        given[place] = min(level, float(sizes[place]))
        left -= given[place]
    return [given[place] for place in range(len(sizes))]


def versions() -> None:
    """Draw versions over time, and the names that point at them."""
    parts = [text(24, 34, "Versions never change; names move, one commit at a time", "name")]
    parts.append('<path d="M60 150H800"/>')
    notes = ("first run", "new shards", "blocked: a gate failed", "the next run", "the run after it")
    for place, note in enumerate(notes):
        x = 70 + place * 160
        shown = "not a version" if "blocked" in note else f"v{place + 1 - (place > 2)}"
        if "blocked" in note:
            parts += [box(x, 120, 120, 60, "pale"), text(x + 60, 155, shown, "says", "middle")]
        else:
            parts += [box(x, 120, 120, 60, "after"), text(x + 60, 155, shown, "on name", "middle")]
        parts.append(text(x + 60, 202, note, "says", "middle"))
    for x, name, y in ((130, "production", 74), (290, "v2", 74), (770, "latest", 74)):
        parts += [text(x, y, name, "name", "middle"), f'<path d="M{x} {y + 8}V116"/>']
    picture("versions.svg", "Versions and the names that point at them", 900, 230, parts)


if __name__ == "__main__":
    if sys.argv[1:]:
        before_after(sys.argv[1])
    dispositions()
    quotas()
    versions()
