"""The datasets that a Prefect server knows: where each is published, so that a form asks for its name alone."""

import re
from contextlib import suppress
from typing import cast

from prefect.client.orchestration import get_client
from prefect.variables import Variable
from pydantic import ValidationError

from evenkeel.flows.places import KnownDataset, absolute, with_absolute_paths
from evenkeel.flows.recipe import Recipe, load
from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.publish.config import DATASET_NAME

PREFIX = "evenkeel_dataset_"


def remember(recipe: Recipe) -> None:
    """Have the server at PREFECT_API_URL know where the dataset of a recipe is."""
    placed = with_absolute_paths(recipe)
    known = KnownDataset(dataset=placed.dataset, destination=placed.destination, workspace=placed.workspace)
    Variable.set(
        variable_name(PREFIX, recipe.dataset), known.model_dump(mode="json"), tags=["evenkeel"], overwrite=True
    )


def known_dataset(name: str) -> KnownDataset:
    """Return where the dataset `name` is; the file of a recipe, or the name of a ready one, says it too.

    Raises RecipeError where neither the server knows such a dataset nor a recipe is there.
    """
    if re.fullmatch(DATASET_NAME, name):
        kept = cast(object, Variable.get(variable_name(PREFIX, name)))
        try:
            found = None if kept is None else KnownDataset.model_validate(kept)
        except ValidationError:
            found = None
        if found is not None and found.dataset == name:
            return found
    try:
        recipe = load(name)
    except RecipeError as error:
        raise RecipeError(
            f"this server knows no dataset {name!r}",
            found=f"it knows {', '.join(names()) or 'none yet'}",
            remedy="name a dataset that was deployed or curated here, or the path of a recipe on the worker",
        ) from error
    return KnownDataset(dataset=recipe.dataset, destination=recipe.destination, workspace=absolute(recipe.workspace))


def names() -> list[str]:
    """Return the names of the datasets that the server knows, sorted."""
    return sorted(folders())


def folders() -> dict[str, str]:
    """Return the folder of every dataset that the server knows, by name."""
    with get_client(sync_client=True) as client:
        kept = client.read_variables(limit=200)
    found: dict[str, str] = {}
    for one in kept:
        if one.name.startswith(PREFIX):
            with suppress(ValidationError):
                known = KnownDataset.model_validate(one.value)
                found[known.dataset] = storage.join(known.destination.uri, known.dataset)
    return found


def variable_name(prefix: str, dataset: str) -> str:
    """Return the name of a Prefect variable on a dataset, which may hold no hyphens."""
    return prefix + dataset.replace("-", "__")
