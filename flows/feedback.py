"""Take what a trainer reports of a version; where that completes a round of trials, say so to the server."""

from collections.abc import Sequence

from evenkeel.flows.answer import Answer
from evenkeel.flows.events import emit_complete
from evenkeel.flows.places import absolute, require_known_places
from evenkeel.flows.recipe import Recipe, RecipeFile, loaded
from evenkeel.tasks.feedback import rounds as records
from evenkeel.tasks.feedback.loop import missing, reports_of
from evenkeel.tasks.feedback.record import Received, record
from evenkeel.tasks.feedback.score import Score, parse_scores
from evenkeel.tasks.feedback.table import read_feedback


def feedback(
    recipe: Recipe | RecipeFile, version: str, scores: list[dict[str, object]], trainer: str = ""
) -> Answer[Received]:
    """Record what training made of a version: metrics of it, of its domains, or of single rows.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        version: The version that was trained on: 3, v3, a trial such as trial-0-2, or another tag.
        scores: Each a metric and its value; with domain or example, error, rows and cost as known.
        trainer: Who trained; empty = the user.
    """
    wanted = loaded(recipe)
    return take(wanted, version, parse_scores(scores, "scores").scores, trainer)


def take(recipe: Recipe, version: str, scores: Sequence[Score], trainer: str = "") -> Answer[Received]:
    """Record scores, as `feedback` does."""
    require_known_places(recipe)
    destination, dataset, workspace = recipe.destination, recipe.dataset, absolute(recipe.workspace)
    metric = "" if recipe.mixture is None else recipe.mixture.metric
    rounds = records.read_rounds(records.mixture_folder(destination.uri, dataset))
    found = record(
        destination, dataset, version, scores, workspace, trainer=trainer, metric=metric, loops=rounds.loops()
    )
    more = f" ({found.trial})" if found.trial else ""
    what = "1 score" if found.scores == 1 else f"{found.scores:,} scores"
    verb = "is" if found.scores == 1 else "are"
    sentence = f"{what} of v{found.version}{more} of {dataset} {verb} recorded"
    if found.examples:
        sentence += f"; as a signal: join {', '.join(found.examples)}, column: value"
    if found.trial and recipe.mixture is not None:
        known = rounds.open
        if known and any(trial.name == found.trial for trial in known[-1].trials):
            reports = reports_of(recipe.mixture, known, read_feedback(destination, dataset, workspace))
            gone = missing(known[-1], reports)
            if gone:
                sentence += f"; round {known[-1].round} waits for {', '.join(gone)}"
            else:
                sentence += f"; round {known[-1].round} is complete"
                emit_complete(recipe, known[-1].round)
    return Answer(found, sentence)
