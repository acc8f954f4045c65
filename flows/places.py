"""Where a recipe reads and writes: the same place from every shell and worker."""

import os
from pathlib import Path

from pydantic import BaseModel

from evenkeel.flows.recipe import Recipe, RecipeFile, loaded
from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.publish.config import DestinationConfig

WORKER = "PREFECT__FLOW_RUN_ID"
"""What a Prefect worker sets in the environment of the process that it starts for a run."""
FOLDER = "EVENKEEL_OWN_FOLDER"
"""Set for runs that start in the folder where their recipe was deployed from, and mean by relative paths the same."""
SQLITE = "sqlite:///"


class KnownDataset(BaseModel):
    """Where a dataset is published and where its steps keep their outputs: all that a question on versions needs."""

    dataset: str
    destination: DestinationConfig
    workspace: str


AnyPlace = Recipe | RecipeFile | KnownDataset


def place_of(place: AnyPlace) -> Recipe | KnownDataset:
    """Return the dataset's place itself, or the recipe that says it."""
    return place if isinstance(place, KnownDataset) else loaded(place)


def absolute(uri: str) -> str:
    """Return a local folder as an absolute path and any other URI as it is."""
    return str(Path(storage.filesystem(uri)[1]).absolute()) if storage.is_local(uri) else uri


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with every local path absolute, so that it means the same wherever it runs."""
    source, destination, sampling = recipe.source, recipe.destination, recipe.sampling
    strategy = sampling.strategy.with_paths(absolute)
    ids = None if source.ids is None else _each(source.ids)
    exclude = [entry.model_copy(update={"uri": _each(entry.uri)}) for entry in recipe.dedup.exclude]
    compute = absolute(recipe.compute) if recipe.compute.endswith((".yaml", ".yml")) else recipe.compute
    return recipe.model_copy(
        update={
            "source": source.model_copy(update={"uri": _each(source.uri), "ids": ids}),
            "provenance": None if recipe.provenance is None else recipe.provenance.with_paths(absolute),
            "ownership": None if recipe.ownership is None else recipe.ownership.with_paths(absolute),
            "target_set": None if recipe.target_set is None else recipe.target_set.with_paths(absolute),
            "annotations": [one.with_paths(absolute) for one in recipe.annotations],
            "signals": [signal.with_paths(absolute) for signal in recipe.signals],
            "sampling": sampling.model_copy(update={"strategy": strategy}),
            "dedup": recipe.dedup.model_copy(update={"exclude": exclude}),
            "destination": destination.model_copy(
                update={"uri": absolute(destination.uri), "catalog": _catalog(destination.catalog)}
            ),
            "workspace": absolute(recipe.workspace),
            "compute": compute,
        }
    )


def require_known_places(recipe: Recipe | KnownDataset) -> None:
    """Raise RecipeError where a worker would put a relative workspace or destination into a folder that nobody knows.

    A worker that runs in the project's folder, as ours do, takes them from there; and a run that `evenkeel deploy` made
    starts in the folder where that was called.
    """
    places = {"workspace": recipe.workspace, "destination.uri": recipe.destination.uri}
    relative = [name for name, uri in places.items() if storage.is_local(uri) and not _is_absolute(uri)]
    known = Path("prefect.yaml").is_file() or FOLDER in os.environ
    if relative and WORKER in os.environ and not known:
        raise RecipeError(
            "a relative path means another folder to every worker",
            found=", ".join(f"{name}: {places[name]}" for name in relative),
            where=f"a worker in {Path.cwd()}",
            remedy="write an absolute path or a URI; `evenkeel curate` makes the paths of your recipe absolute",
        )


def _catalog(uri: str | None) -> str | None:
    if uri is None or not uri.startswith(SQLITE):
        return uri
    return f"{SQLITE}{Path(uri.removeprefix(SQLITE)).absolute()}"


def _each(uri: str | list[str]) -> str | list[str]:
    return absolute(uri) if isinstance(uri, str) else [absolute(one) for one in uri]


def _is_absolute(uri: str) -> bool:
    return "://" in uri or Path(uri).is_absolute()
