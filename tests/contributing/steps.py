"""Run the steps of a recipe in this process, from ingest to stage or to the card."""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import cluster_pool, prove_version, stage_version
from evenkeel.flows.recipe import load
from evenkeel.infra.compute import Compute
from evenkeel.tasks.step import InProcess, Run


def main(path: str, last: str, *tests: str) -> None:
    """Run tests, and print the references of the finished steps by name, as JSON."""
    if tests:
        with redirect_stdout(sys.stderr):
            assert pytest.main(["-q", "-p", "no:cacheprovider", *tests]) == pytest.ExitCode.OK
    recipe = load(path)
    run_step = InProcess(Run(recipe.workspace, recipe.dataset, Path(recipe.workspace) / "scratch", Compute(threads=1)))
    lineage = resolve_lineage(recipe, recipe.workspace)
    made = stage_version(recipe, lineage, cluster_pool(recipe, lineage, run_step), run_step)
    if last == "report":
        made = prove_version(recipe, recipe.workspace, made, run_step)
    print(json.dumps({name: ref.model_dump(mode="json") for name, ref in made.steps().items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
