"""The distance gate stays silent between versions drawn from one pool, and sees rows that came from elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evenkeel.expectations.concerns.nearness import NAMES, Distance
from evenkeel.expectations.expectation import NotApplicable
from evenkeel.infra import storage
from evenkeel.infra.compute import Compute
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.distance.measures import BY
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.step import Run
from evenkeel.tasks.validate.tables import comparable_distances
from tests.sample.pools import make_run, sampled, write_pool

ROWS, KEPT, KINDS, D = 6000, 1500, 20, 16
CENTRES = np.random.default_rng(0).normal(0, 1, (KINDS + 1, D))
ASKED = [(to, by) for to in ("pool", "last-version") for by in BY]


def pool(folder: Path, planted: float = 0.0, of: int = KINDS) -> dict[str, StepRef]:
    """A pool of twenty kinds, in which a share of the rows is of one kind instead; the last is in no other pool."""
    rng = np.random.default_rng(1)
    kind = rng.integers(0, KINDS, ROWS)
    kind[: round(planted * ROWS)] = of
    vectors = CENTRES[kind] + rng.normal(0, 0.7, (ROWS, D))
    return write_pool(folder, vectors, levels=[kind], parents=[np.arange(KINDS + 1) // 4], block_rows=2000)


def version(
    done: dict[str, StepRef],
    run: Run,
    seed: int,
    previous: StepRef | None = None,
    kept: int = KEPT,
    asked: Sequence[tuple[str, str]] = ASKED,
) -> StepRef:
    """Draw a version at random and measure it against the last one; asked: the distances whose noise is simulated."""
    inputs = {**done, "sample": sampled(SamplingConfig(target=kept, strategy="random", seed=seed), done, run)}
    if previous is not None:
        inputs["previous"] = previous.model_copy(update={"step": "previous"})
    ref = MEASURE(MeasureConfig(distances=list(asked)), MeasureInputs.of(inputs), run)
    facts = {"centroid_hash": storage.read_json(f"{done['cluster'].uri}/levels.json")["centroid_hash"]}
    return ref.model_copy(update={"facts": facts})


def ratio(profile: StepRef, to: str, by: str) -> float:
    gate = Distance.model_validate({"to": to, "by": by})
    return gate.measure(Profile.open(profile).distances).value


@pytest.mark.parametrize("of", ["texts", "vectors"])
def test_a_target_of_texts_is_no_stop_where_the_vectors_came_with_the_source(tmp_path: Path, of: str) -> None:
    run, kind = make_run(tmp_path), np.arange(240) % 4
    done = write_pool(tmp_path / "pool", CENTRES[kind], levels=[kind])
    (tmp_path / "target.txt").write_text("a note\nanother one\n")
    np.save(tmp_path / "target.npy", CENTRES[[0, 0, 1]].astype(np.float32))
    target = TargetSet(uri=str(tmp_path / ("target.txt" if of == "texts" else "target.npy")))
    inputs = {**done, "sample": sampled(SamplingConfig(target=40), done, run)}
    found = Profile.open(MEASURE(MeasureConfig(target=target), MeasureInputs.of(inputs), run)).distances
    assert set(found["to"]) == ({"pool"} if of == "texts" else {"pool", "target"})


@pytest.mark.long
def test_another_draw_passes_and_planted_rows_do_not(tmp_path: Path) -> None:
    run, one = make_run(tmp_path), pool(tmp_path / "one")
    first = version(one, run, 1)
    again, same = version(one, run, 2, first), version(one, run, 1, first)
    planted = version(pool(tmp_path / "two", 0.2), run, 3, first)
    for by in BY:
        assert ratio(again, "last-version", by) < 1
        assert ratio(again, "pool", by) < 1
        assert ratio(same, "last-version", by) == pytest.approx(0, abs=0.3 if by == "transport" else 1e-6)
    assert ratio(planted, "last-version", "mmd") > 3
    assert ratio(planted, "last-version", "frechet") > 1.5
    with pytest.raises(NotApplicable, match="its clusters are not these"):
        ratio(planted, "last-version", "kl")
    table = Profile.open(again).distances
    assert "last-version" in set(table["to"]) - set(comparable_distances(table, alike=False)["to"])


def test_a_version_that_prefers_some_clusters_is_far_from_its_pool(tmp_path: Path) -> None:
    run, done = make_run(tmp_path), pool(tmp_path / "pool", 0.5, of=0)
    config = SamplingConfig(target=KEPT, strategy="flat")
    inputs = {**done, "sample": sampled(config, done, run)}
    balanced = MEASURE(MeasureConfig(distances=ASKED), MeasureInputs.of(inputs), run)
    for by in BY:
        assert ratio(balanced, "pool", by) > 2
    gate = Distance.model_validate({"to": "pool", "by": "mmd", "better_than": None, "at_most": 1.9})
    assert gate.holds(gate.measure(Profile.open(balanced).distances))


@pytest.mark.slow
def test_blocks_threads_change_nothing(tmp_path: Path) -> None:
    run, done = make_run(tmp_path), pool(tmp_path / "pool")
    small = version(done, run, 1, kept=200)
    later = version(done, run, 2, small)
    for by in BY:
        assert ratio(later, "last-version", by) < 1
    alone = Run(str(tmp_path / "other"), run.dataset, run.scratch, Compute(threads=1))
    again = version(done, alone, 2, small)
    numbers = ["pool", "random", "after", "bound"]
    one, other = (Profile.open(ref).distances[numbers].to_numpy() for ref in (later, again))
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_every_distance_has_a_name() -> None:
    assert tuple(NAMES) == BY


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_false_alarms_and_power(tmp_path: Path) -> None:
    """200 versions of other seeds: one alarm at most by each distance. A tenth of planted rows is always seen."""
    run, one = make_run(tmp_path), pool(tmp_path / "one")
    last, alarms = version(one, run, 0), dict.fromkeys(ASKED, 0)
    for seed in range(1, 201):
        now = version(one, run, seed, last)
        for to, by in ASKED:
            alarms[to, by] += ratio(now, to, by) > 1
    assert max(alarms.values()) < 2, alarms
    seen = {}
    for share in (0.05, 0.1, 0.2):
        other = pool(tmp_path / str(share), share)
        drawn = (version(other, run, seed, last, asked=()) for seed in range(20))
        seen[share] = np.mean([ratio(one, "last-version", "mmd") > 1 for one in drawn])
    assert min(seen[0.1], seen[0.2]) == 1.0, seen
    assert seen[0.05] < 0.5, seen
