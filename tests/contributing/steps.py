"""Run the steps of a recipe in this process, from ingest to stage: `python -m tests.contributing.steps RECIPE`."""

import json
import sys
from pathlib import Path

from evenkeel.flows.lineage import look_back
from evenkeel.flows.pipeline import follow_curation
from evenkeel.flows.recipe import load
from evenkeel.infra.compute import Compute
from evenkeel.tasks.step import Run


def main(path: str) -> None:
    """Print the references of the finished steps by name, as JSON."""
    recipe = load(path)
    run = Run(recipe.workspace, recipe.dataset, Path(recipe.workspace) / "scratch", Compute(threads=1))
    done = follow_curation(
        recipe,
        look_back(recipe, recipe.workspace),
        lambda step, config, inputs: step(config, inputs, run),
        lambda _: None,
    )
    print(json.dumps({name: ref.model_dump(mode="json") for name, ref in done.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
