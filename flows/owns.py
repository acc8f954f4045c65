"""Say whether a model was trained on the rows that a recipe owns."""

from evenkeel.flows.answer import Answer
from evenkeel.flows.recipe import Recipe
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.versions.owns import Certificate, certificate, read_answers, read_vault

ALPHA = 1e-3


def owns(recipe: Recipe, answers: str, keys: str = "", alpha: float = ALPHA) -> Answer[Certificate]:
    """Say whether a model's answers to the keys prove that it was trained on the rows of `ownership`.

    Reads the vault and the answers, and writes nothing. Raises RecipeError where the recipe names no vault.

    Args:
        recipe: The recipe whose `ownership` says where the keys are and what answers count.
        answers: What the model answered: a file with the columns `key` and `answer`, the answer it prefers first.
        keys: The vault, where it is elsewhere than the recipe says.
        alpha: The largest chance of a false claim.
    """
    given = recipe.ownership
    vault = keys or ("" if given is None else given.vault)
    if given is None or not vault:
        raise RecipeError(
            "the recipe does not say where the keys are",
            expected="ownership: {rows: ..., keys: ...}",
            where="ownership.keys",
            remedy="add it, or name the vault: --keys",
        )
    found = certificate(read_vault(vault, given.chance), read_answers(answers), given.top, alpha)
    return Answer(found, found.sentence, ok=found.owned)
