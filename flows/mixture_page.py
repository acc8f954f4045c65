"""The page of a mixture, written beside its rounds whenever something has changed."""

from evenkeel.flows.mixing import mixture_of
from evenkeel.flows.recipe import Recipe
from evenkeel.infra import storage
from evenkeel.tasks.feedback import rounds as records
from evenkeel.tasks.feedback.loop import reports_of
from evenkeel.tasks.feedback.table import read_feedback
from evenkeel.tasks.report.mixture import render_mixture


def write_page(recipe: Recipe, workspace: str) -> str:
    """Write the page of the newest loop to `<dataset>/mixture/index.html`; return its place, "" before the first."""
    config = mixture_of(recipe)
    folder = records.mixture_folder(recipe.destination.uri, recipe.dataset)
    known = records.read_rounds(folder)
    if known.last is None:
        return ""
    shown = known.of_loop(known.last.loop)
    reports = reports_of(config, shown, read_feedback(recipe.destination, recipe.dataset, workspace))
    place = storage.join(folder, records.PAGE)
    storage.write_bytes(place, render_mixture(recipe.dataset, config, known, shown, reports).encode())
    return place
