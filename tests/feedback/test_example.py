"""The example of `make mix`: from docstrings of eight packages a probe learns more by what the loop ends with."""

import json
from pathlib import Path

import numpy as np
import pytest

from evenkeel.flows.mixing import advance
from evenkeel.flows.recipe import load
from evenkeel.flows.server.trainer import score_round
from evenkeel.tasks.feedback.rounds import Settled
from evenkeel.tasks.ingest.docstrings import environment_files
from evenkeel.tasks.ingest.harvest import docstrings
from evenkeel.tasks.step import InProcess, Run

SEEDS = 5
PACKAGES = {"prefect", "scipy", "pandas", "sqlalchemy", "numpy", "rich", "jinja2", "pyarrow"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The docstrings of the packages alone: those of the whole environment take minutes to read."""
    found: dict[str, str] = {}
    for file in environment_files():
        package = file.path.split("/", 1)[0].removesuffix(".py")
        if package in PACKAGES:
            content = (Path(file.root) / file.path).read_bytes()
            for name, text, _ in docstrings(content, file.module):
                row = {"id": name, "text": text.encode("utf-8", "replace").decode(), "package": package}
                found.setdefault(name, json.dumps(row) + "\n")
    path = tmp_path_factory.mktemp("docstrings") / "pool.jsonl"
    path.write_text("".join(found.values()))
    return path


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_the_loop_ends_with_beats_the_natural_mixture_by_five_points(pool: Path, tmp_path: Path) -> None:
    gains, behind = [], []
    for seed in range(SEEDS):
        places = [f"destination.uri={tmp_path}/published-{seed}", f"workspace={tmp_path}/workspace", "compute=inline"]
        recipe = load("docstrings-mixture", [*places, f"source.uri={pool}", f"sampling.seed={1000 * seed}"])
        run = Run(recipe.workspace, recipe.dataset, tmp_path / "scratch")
        ended: Settled | None = None
        while ended is None:
            ended = advance(recipe, run, InProcess(run)).settled
            score_round(recipe)
        assert ended.proposed is not None
        assert ended.natural is not None
        assert ended.stratified is not None
        reached = ended.proposed if ended.role == "proposed" else ended.stratified
        gains.append(reached - ended.natural)
        behind.append(ended.stratified - ended.proposed)
        assert reached >= ended.stratified - 0.015
    assert min(gains) >= 0.05
    assert np.mean(behind) <= 0.015
