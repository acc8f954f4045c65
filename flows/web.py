"""Where a browser finds what was published: at the server of pages, or at its place in the store."""

import os
from urllib.parse import quote

from evenkeel.flows.places import absolute
from evenkeel.flows.recipe import Recipe
from evenkeel.infra import storage

PAGES_URL = "EVENKEEL_PAGES_URL"
"""Public address of the server of pages, such as https://pages.example.org; `evenkeel serve` sets its own."""


def address(recipe: Recipe, place: str) -> str:
    """Return the address of something in a dataset's folder."""
    base = os.environ.get(PAGES_URL, "").rstrip("/")
    folder = storage.join(absolute(recipe.destination.uri), recipe.dataset)
    inside = absolute(place).removeprefix(folder)
    if not base or inside == absolute(place):
        return storage.web_address(place)
    return f"{base}/{recipe.dataset}/{quote(inside.strip('/'))}"
