"""Render pages from templates: text is escaped, and control characters in it are replaced."""

from functools import cache
from pathlib import Path

import jinja2

from evenkeel.expectations.wording import printable

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment(*folders: Path) -> jinja2.Environment:
    """Return the environment of templates in some folders, and of those that all pages share."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        finalize=without_controls,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )


def without_controls(value: object) -> object:
    """Return text with control characters replaced; our own markup and numbers as they are."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
