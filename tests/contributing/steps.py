"""Run the steps of a recipe in this process, from ingest to stage: `python -m tests.contributing.steps RECIPE`."""

import json
import sys
from pathlib import Path

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import cluster_pool, stage_version
from evenkeel.flows.recipe import load
from evenkeel.infra.compute import Compute
from evenkeel.tasks.step import InProcess, Run


def main(path: str) -> None:
    """Print the references of the finished steps by name, as JSON."""
    recipe = load(path)
    run = Run(recipe.workspace, recipe.dataset, Path(recipe.workspace) / "scratch", Compute(threads=1))
    lineage = resolve_lineage(recipe, recipe.workspace)
    staged = stage_version(recipe, lineage, cluster_pool(recipe, lineage, InProcess(run)), InProcess(run))
    print(json.dumps({name: ref.model_dump(mode="json") for name, ref in staged.steps().items()}))


if __name__ == "__main__":
    main(sys.argv[1])
