"""A step says what it takes, and refuses anything else: mypy before the run, a StepError in it."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evenkeel.flows import around_clustering, mixing, pipeline
from evenkeel.infra.errors import StepError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.embed.embedders.auto import AutoEmbedding
from evenkeel.tasks.embed.embedders.tfidf_svd import TfidfSvdEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.inputs import SampleInputs
from evenkeel.tasks.sample.step import SAMPLE
from evenkeel.tasks.step import Run, Step

ROOT = Path(__file__).parent.parent
DONE = {
    name: StepRef(step=name, key=f"key-{name}", uri=f"/ws/{name}") for name in ("ingest", "embed", "dedup", "cluster")
}


def run_at(folder: Path) -> Run:
    return Run(workspace=str(folder), dataset="pool", scratch=folder)


@pytest.mark.parametrize(
    ("config", "inputs", "expected", "found"),
    [
        (MeasureConfig(), SampleInputs.of(DONE), "config of type SamplingConfig", "MeasureConfig"),
        (SamplingConfig(target=1), NoInputs(), "inputs of type SampleInputs", "NoInputs"),
        (SamplingConfig(target=1), {}, "inputs of type SampleInputs", "dict"),
    ],
)
def test_a_wrong_call_names_what_was_expected_and_found(
    tmp_path: Path, config: Any, inputs: Any, expected: str, found: str
) -> None:
    with pytest.raises(StepError) as told:
        SAMPLE(config, inputs, run_at(tmp_path))
    assert (told.value.expected, told.value.found) == (expected, found)
    assert list(tmp_path.iterdir()) == []


def test_a_step_whose_config_is_an_open_kind_takes_its_members_and_nothing_else(tmp_path: Path) -> None:
    inputs = EmbedInputs(DONE["ingest"])
    keys = {EMBED.key(config, inputs, run_at(tmp_path)) for config in (AutoEmbedding(), TfidfSvdEmbedding())}
    assert len(keys) == 2
    with pytest.raises(StepError, match="EmbeddingConfig"):
        EMBED.key(ClusteringConfig(), inputs, run_at(tmp_path))  # type: ignore[arg-type]


def test_an_input_comes_from_the_steps_that_make_it() -> None:
    assigned = DONE["cluster"].model_copy(update={"step": "assign"})
    assert SampleInputs.of({**DONE, "cluster": assigned}).cluster == assigned
    with pytest.raises(StepError, match="finished cluster or assign or thin step"):
        SampleInputs.of({**DONE, "cluster": DONE["embed"]})
    with pytest.raises(StepError, match=r"ClusterInputs\.dedup"):
        ClusterInputs(DONE["ingest"], DONE["embed"], None)  # type: ignore[arg-type]
    sample = StepRef(step="sample", key="key-sample", uri="/ws/sample")
    with pytest.raises(StepError, match="finished previous step"):
        MeasureInputs.of({**DONE, "sample": sample, "previous": DONE["dedup"]})


def test_missing_steps_are_named() -> None:
    with pytest.raises(StepError) as told:
        SampleInputs.of({"ingest": DONE["ingest"]})
    assert told.value.expected == "embed, dedup, cluster"


def test_optional_inputs_that_are_not_there_leave_the_key_as_it_is(tmp_path: Path) -> None:
    plain, based = EmbedInputs(DONE["ingest"]), EmbedInputs(DONE["ingest"], DONE["embed"])
    assert list(plain.present()) == ["ingest"]
    assert EMBED.key(AutoEmbedding(), plain, run_at(tmp_path)) != EMBED.key(AutoEmbedding(), based, run_at(tmp_path))


def test_the_table_of_the_architecture_has_every_step_with_its_inputs() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    table = page.split("| step | inputs | writes |")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| (\w[\w-]*) \| (.*?) \|", table, re.MULTILINE))
    declared = {
        step.name: ", ".join(field.name for field in dataclasses.fields(step.takes[1][0])) or "(source)"
        for step in {**vars(pipeline), **vars(around_clustering), **vars(mixing)}.values()
        if isinstance(step, Step)
    }
    assert {name: rows.get(name) for name in declared} == declared
    assert rows.keys() - declared.keys() == {"publish"}


@pytest.mark.slow
def test_mypy_refuses_a_wrong_call(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        "from evenkeel.tasks.inputs import NoInputs\n"
        "from evenkeel.tasks.measure.config import MeasureConfig\n"
        "from evenkeel.tasks.sample.config import SamplingConfig\n"
        "from evenkeel.tasks.sample.inputs import SampleInputs\n"
        "from evenkeel.tasks.sample.step import SAMPLE\n"
        "from evenkeel.tasks.step import Run\n"
        "def calls(run: Run, inputs: SampleInputs) -> None:\n"
        "    SAMPLE(SamplingConfig(target=1), inputs, run)\n"
        "    SAMPLE(MeasureConfig(), inputs, run)\n"
        "    SAMPLE(SamplingConfig(target=1), NoInputs(), run)\n"
        "    SAMPLE(SamplingConfig(target=1), {}, run)\n"
    )
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(snippet)], cwd=ROOT, capture_output=True, text=True
    )
    wrong = [line.split(": ", 1)[0].rpartition(":")[2] for line in told.stdout.splitlines() if "[arg-type]" in line]
    assert wrong == ["9", "10", "11"], told.stdout + told.stderr
