"""A mixture gives every domain its weight of a version, and leaves the rest to the strategy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenkeel.flows.lineage import resolve_lineage
from evenkeel.flows.pipeline import cluster_pool, stage_version
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.mixture.simplex import total_variation
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import InProcess, Run
from tests.sample.pools import make_run, sampled, write_pool

ROWS, LEAVES = 1200, 12
LANGUAGES = ("en", "fo", "is")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, StepRef], Run, np.ndarray, np.ndarray]:
    """Twelve leaves under three clusters; a language is common in some leaves. Also leaf and language of every row."""
    folder = tmp_path_factory.mktemp("mixtures")
    rng = np.random.default_rng(8)
    leaf = np.minimum(rng.geometric(0.2, ROWS) - 1, LEAVES - 1)
    language = np.array(LANGUAGES)[np.where(rng.random(ROWS) < 0.8, leaf // 4, rng.integers(0, 3, ROWS))]
    inputs = write_pool(
        folder / "pool",
        rng.normal(0, 4, (LEAVES, 6))[leaf] + rng.normal(0, 0.4, (ROWS, 6)),
        levels=[leaf],
        parents=[np.arange(LEAVES) // 4],
        groups={"language": list(language)},
        scores={"quality": rng.random(ROWS)},
        block_rows=250,
    )
    return inputs, make_run(folder), leaf, language


Mixed = tuple[dict[str, StepRef], Run, np.ndarray, np.ndarray]


def mixed(pool: Mixed, mixture: dict[str, Any], strategy: str | dict[str, Any] = "random", **more: Any) -> StepRef:
    chosen = {"strategy": strategy, "target": 240, "mixture": mixture, **more}
    return sampled(SamplingConfig.model_validate(chosen), pool[0], pool[1])


def drawn(pool: Mixed, ref: StepRef) -> tuple[dict[str, int], np.ndarray]:
    """Return the rows of each language, and of each leaf."""
    table = Selection.open(ref).table()
    row, copies = table["row_id"].to_numpy().astype(int), table["copies"].to_numpy()
    assert copies.sum() == 240
    by_language = {one: int(copies[pool[3][row] == one].sum()) for one in LANGUAGES}
    return by_language, np.bincount(pool[2][row], copies, LEAVES).astype(int)


FIXED = {"domains": "group.language", "rule": {"name": "fixed", "weights": {"en": 1, "fo": 2, "is": 1}}}


@pytest.mark.parametrize("strategy", ["random", "flat", "top-down", {"name": "weighted", "by": "quality"}])
def test_every_domain_gets_its_weight_whatever_the_strategy_is(pool: Mixed, strategy: str | dict[str, Any]) -> None:
    ref = mixed(pool, FIXED, strategy)
    assert drawn(pool, ref)[0] == {"en": 60, "fo": 120, "is": 60}
    assert ref.facts["mixture"]["weights"] == {"en": 0.25, "fo": 0.5, "is": 0.25}
    assert ref.facts["mixture"]["rows"] == {"en": 60, "fo": 120, "is": 60}
    assert ref.facts["goal"] == "plan"


def test_inside_a_domain_the_strategy_decides(pool: Mixed) -> None:
    leaf, language = pool[2], pool[3]
    english = np.bincount(leaf[language == "en"], minlength=LEAVES)
    _, flat = drawn(pool, mixed(pool, {**FIXED, "rule": {"name": "fixed", "weights": {"en": 1}}}, "flat"))
    _, random = drawn(pool, mixed(pool, {**FIXED, "rule": {"name": "fixed", "weights": {"en": 1}}}, "random"))
    expected = 240 * english / english.sum()
    assert np.abs(random - expected).max() < 25
    many = english >= 60
    assert flat[many].max() - flat[many].min() <= 0.5 * (random[many].max() - random[many].min())


def test_a_domain_that_is_too_small_gives_all_its_rows_and_the_others_share_the_rest(pool: Mixed) -> None:
    have = int((pool[3] == "is").sum())
    weights = {"en": 1, "fo": 1, "is": 30}
    found, _ = drawn(pool, mixed(pool, {**FIXED, "rule": {"name": "fixed", "weights": weights}}))
    assert found["is"] == min(have, round(240 * 30 / 32))
    assert abs(found["en"] - found["fo"]) <= 1
    twice, _ = drawn(pool, mixed(pool, {**FIXED, "rule": {"name": "fixed", "weights": weights}}, max_repeats=4))
    assert twice["is"] == 225


def test_clusters_of_a_level_are_domains_and_floors_of_leaves_are_kept(pool: Mixed) -> None:
    by_number = {"domains": "level-2", "rule": {"name": "fixed", "weights": {"0": 1, "1": 1, "2": 2}}}
    _, leaves = drawn(pool, mixed(pool, by_number))
    assert leaves.reshape(3, 4).sum(axis=1).tolist() == [60, 60, 120]
    _, floored = drawn(pool, mixed(pool, by_number, "flat", floor=5))
    sizes = np.bincount(pool[2], minlength=LEAVES)
    assert (floored >= np.minimum(sizes, 5)).all()
    assert floored.reshape(3, 4).sum(axis=1).tolist() == [60, 60, 120]


def test_weights_keep_floor_and_cap(pool: Mixed) -> None:
    skewed = {**FIXED, "rule": {"name": "fixed", "weights": {"en": 98, "fo": 2}}, "floor": 0.1, "cap": 0.6}
    found = mixed(pool, skewed).facts["mixture"]["weights"]
    assert found == pytest.approx({"en": 0.6, "fo": 0.3, "is": 0.1}, abs=0.01) or max(found.values()) <= 0.6
    assert min(found.values()) >= 0.1 - 1e-9
    with pytest.raises(RecipeError, match="no weights of the domains keep floor and cap"):
        mixed(pool, {**FIXED, "floor": 0.4})


def test_submodular_weighs_by_the_means_of_the_domains(pool: Mixed) -> None:
    found = mixed(pool, {"domains": "level-2", "rule": {"name": "submodular"}}).facts["mixture"]["weights"]
    assert sum(found.values()) == pytest.approx(1)
    assert len(set(found.values())) == 3


def test_what_cannot_be_is_refused_by_name(pool: Mixed) -> None:
    with pytest.raises(RecipeError, match="does not have: da"):
        mixed(pool, {**FIXED, "rule": {"name": "fixed", "weights": {"da": 1}}})
    with pytest.raises(RecipeError, match="no such level"):
        mixed(pool, {**FIXED, "domains": "level-7"})
    with pytest.raises(RecipeError, match="weighs rows over the whole pool"):
        mixed(pool, FIXED, {"name": "weighted", "by": "quality", "within": "leaves"})
    bound = [{"group": "language", "value": "en", "at_least": 0.5}]
    with pytest.raises(ValueError, match="remove one of them"):
        mixed(pool, FIXED, shares=bound)


@pytest.mark.long
def test_match_gives_the_topics_the_shares_that_they_have_in_a_target_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    words = [[f"{'bcdfgh'[topic]}{'aeiou'[n % 5]}{'mnprstvz'[n // 5]}o" for n in range(40)] for topic in range(6)]

    def text(topic: int) -> str:
        return " ".join([*rng.choice(words[topic], 9), *rng.choice(np.ravel(words), 6)])

    rows = [{"id": f"r{row}", "text": text(row % 6), "topic": f"t{row % 6}"} for row in range(900)]
    true = np.array([0.5, 0.25, 0.1, 0.1, 0.05, 0.0])
    wanted = [text(int(topic)) for topic in rng.choice(6, 600, p=true)]
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "target.jsonl").write_text("".join(json.dumps({"question": one}) + "\n" for one in wanted))
    recipe = parse(
        {
            "dataset": "matched",
            "source": {"uri": str(tmp_path / "source"), "id": "id", "text": "text", "groups": ["topic"]},
            "embedding": {"method": "tfidf-svd", "dimension": 16},
            "clustering": {"levels": [40, 8]},
            "target_set": {"uri": str(tmp_path / "target.jsonl"), "text": "question"},
            "mixture": {"domains": "group.topic", "rule": "match"},
            "sampling": {"strategy": "random", "target": 100},
            "destination": {"uri": str(tmp_path / "published")},
            "workspace": str(tmp_path / "workspace"),
        }
    )
    run_step = InProcess(Run(recipe.workspace, recipe.dataset, tmp_path / "scratch"))
    lineage = resolve_lineage(recipe, recipe.workspace)
    made = stage_version(recipe, lineage, cluster_pool(recipe, lineage, run_step), run_step)
    found = np.array(list(made.sample.facts["mixture"]["weights"].values()))
    assert total_variation(found, true) <= 0.08
    pool = Pool.open(made.ingest)
    kept = np.isin(pool.row_ids(), Selection.open(made.sample).row_ids())
    topics = np.asarray(pool.column("group.topic"), str)[kept]
    counts = np.array([(topics == f"t{topic}").sum() for topic in range(6)])
    assert np.abs(counts - 100 * found).max() <= 1
