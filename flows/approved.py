"""The mixture that a person approved: what `curate` goes by where the rule of the recipe learns from training."""

from evenkeel.flows.answer import Answer
from evenkeel.flows.places import absolute
from evenkeel.flows.recipe import Recipe, RecipeFile, loaded
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.feedback import rounds as records
from evenkeel.tasks.feedback.rounds import Approved
from evenkeel.tasks.mixture.config import DomainWeights
from evenkeel.tasks.mixture.rules.fixed import Fixed
from evenkeel.tasks.sample.config import SamplingConfig


def with_approved(recipe: Recipe) -> Recipe:
    """Return the recipe with the weights that were approved for its mixture, where there are any.

    Raises RecipeError where they are of other domains than the recipe's.
    """
    config = recipe.mixture
    if config is None or not config.rule.trains:
        return recipe
    approved = records.read_rounds(records.mixture_folder(absolute(recipe.destination.uri), recipe.dataset)).approved
    if approved is None:
        return recipe
    if approved.domains != config.domains:
        raise RecipeError(
            "the mixture that was approved is of other domains than the recipe's",
            expected=config.domains,
            found=f"{approved.domains}, approved by {approved.who} on {approved.when[:10]}",
            where="mixture.domains",
            remedy="put the domains back, or run the loop for these and approve what it ends with",
        )
    mixture = DomainWeights(domains=config.domains, rule=Fixed(weights=approved.weights), clusters=approved.clusters)
    sampling = SamplingConfig.model_validate({**vars(recipe.sampling), "mixture": mixture})
    return recipe.model_copy(update={"sampling": sampling})


def approved_document(recipe: Recipe) -> dict[str, object]:
    """Return what the manifest says of a mixture that was learned: who approved it, and its regret to stratified."""
    if recipe.mixture is None or not recipe.mixture.rule.trains or recipe.sampling.mixture is None:
        return {}
    approved = records.read_rounds(records.mixture_folder(absolute(recipe.destination.uri), recipe.dataset)).approved
    return {} if approved is None else {"mixture": approved.model_dump(mode="json")}


def approve_mixture(recipe: Recipe | RecipeFile, reason: str = "") -> Answer[Approved]:
    """Let `curate` go by the mixture that the last loop ended with.

    Raises RecipeError where no loop has ended.

    Args:
        recipe: The recipe of the dataset, or the file that holds it.
        reason: Why, for the record.
    """
    recipe = loaded(recipe)
    folder = records.mixture_folder(recipe.destination.uri, recipe.dataset)
    known = records.read_rounds(folder)
    ended = None if known.last is None else known.settled.get(known.last.loop)
    if ended is None or ended.role == "abandoned":
        raise RecipeError(
            "there is no mixture to approve: the loop has not ended",
            found="no round yet" if known.last is None else f"round {known.last.round} of the loop goes on",
            remedy="evenkeel mix RECIPE does the next step and says what it waits for",
        )
    regret = None if ended.role == "stratified" or ended.gain is None else -ended.gain
    made = records.save_approved(folder, ended, regret, reason)
    return Answer(made, f"curate goes by the {ended.role} mixture of {recipe.dataset} from now on: {ended.sentence}")
