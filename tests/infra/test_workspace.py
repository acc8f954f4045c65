"""A step's output is found again by content, and only once it is finished."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from evenkeel.infra.workspace import StepFolder, StepRef, content_key
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.step import Outcome, Run, Step

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


class Config(BaseModel):
    number: int = 1


def nothing(config: Config, inputs: NoInputs, out: StepFolder, run: Run) -> Outcome:
    return Outcome()


@given(config=st.dictionaries(st.text(max_size=5), json_values, max_size=4), other=json_values)
def test_key_depends_on_content_not_on_order(config: dict[str, object], other: object) -> None:
    shuffled = dict(reversed(list(config.items())))
    assert content_key("a", 1, config, {}) == content_key("a", 1, shuffled, {})
    assert content_key("a", 1, config, {}) != content_key("a", 1, {**config, "new field": other}, {})


def test_key_depends_on_step_version_and_inputs() -> None:
    keys = {
        content_key("a", 1, {}, {}),
        content_key("b", 1, {}, {}),
        content_key("a", 2, {}, {}),
        content_key("a", 1, {}, {"x": "1"}),
        content_key("a", 1, {}, {"y": "1"}),
    }
    assert len(keys) == 5


def test_folder_counts_only_when_done(tmp_path: Path) -> None:
    folder = StepFolder(str(tmp_path), "pool", "ingest", "k")
    (tmp_path / "pool/ingest/k").mkdir(parents=True)
    (tmp_path / "pool/ingest/k/rows").write_text("half written")
    assert folder.done() is None
    ref = folder.finish({"read": 3}, {"note": "x"}, 1.5)
    assert folder.done() == ref == StepRef.model_validate_json(ref.model_dump_json())


def test_finished_step_is_not_run_again_and_a_failed_one_is(tmp_path: Path) -> None:
    calls: list[int] = []

    def count(config: Config, inputs: NoInputs, out: StepFolder, run: Run) -> Outcome:
        calls.append(config.number)
        if len(calls) == 1:
            raise RuntimeError("killed in the middle")
        return Outcome({"rows": config.number})

    step, run = Step("count", 1, count), Run(str(tmp_path), "pool", tmp_path)
    with pytest.raises(RuntimeError):
        step(Config(), NoInputs(), run)
    first, again = step(Config(), NoInputs(), run), step(Config(), NoInputs(), run)
    assert first == again
    assert calls == [1, 1]
    step(Config(number=2), NoInputs(), run)
    assert calls == [1, 1, 2]


def test_backend_is_part_of_the_key_only_where_it_matters(tmp_path: Path) -> None:
    from evenkeel.infra.compute import Compute

    cpu = Run(str(tmp_path), "pool", tmp_path)
    gpu = Run(str(tmp_path), "pool", tmp_path, compute=Compute(backend="gpu"))
    step, numeric = Step("s", 1, nothing), Step("s", 1, nothing, by_backend=True)
    assert step.key(Config(), NoInputs(), cpu) == step.key(Config(), NoInputs(), gpu)
    assert numeric.key(Config(), NoInputs(), cpu) != numeric.key(Config(), NoInputs(), gpu)
    many, step = replace(gpu, compute=Compute(backend="gpu", workers=2)), Step("s", 1, nothing, by_devices=True)
    assert step.key(Config(), NoInputs(), gpu) == step.key(Config(), NoInputs(), cpu)
    assert step.key(Config(), NoInputs(), many) != step.key(Config(), NoInputs(), gpu)
