"""Writing one section of docs/PERFORMANCE.md, or of another page, between marks of its own."""

import os
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "PERFORMANCE.md"


def write_section(title: str, command: str, body: str, place: Path = PAGE) -> None:
    """Put `body` under the heading `title`, with the command that made it and how many cores there were."""
    name = title.lower().replace(" ", "-")
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n## {title}\n\nMade by `{command}` on {os.cpu_count()} cores.\n\n{body}\n{end}"
    page = place.read_text() if place.exists() else "# Performance\n"
    known = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    page = known.sub(lambda _: section, page) if known.search(page) else f"{page.rstrip()}\n\n{section}\n"
    place.write_text(page)
