"""Floor, cap and order: every strategy keeps them, or its recipe is refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.sample.strategy import EVERY_LIMIT, STRATEGIES
from evenkeel.tasks.signal.kinds.entries import EntriesSignal
from evenkeel.tasks.step import InProcess, Run
from tests.examples import telling
from tests.sample.pools import make_run, sampled, write_pool
from tests.sample.test_strategies import EVERY, Chosen, name_of

ROWS, LEAVES, TARGET = 900, 12, 120
LIMITS: dict[str, dict[str, Any]] = {
    "floor": {"floor": 4},
    "cap": {"cap": 12},
    "order": {"order": "score", "score": "rank"},
}
# A grid of 100 x 100 cells has room for every row in a cell of its own, so that no order shows.
CHOSEN: list[Chosen] = [{"name": "grid", "side": 3} if chosen == "grid" else chosen for chosen in EVERY]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, StepRef], Run]:
    folder = tmp_path_factory.mktemp("limits")
    rng = np.random.default_rng(4)
    leaf = np.sort(np.concatenate([np.repeat(np.arange(LEAVES), 6), rng.geometric(0.4, ROWS - 6 * LEAVES) - 1]))
    leaf = rng.permutation(np.minimum(leaf, LEAVES - 1))
    vectors = rng.normal(0, 4, (LEAVES, 6))[leaf] + rng.normal(0, 0.4, (ROWS, 6))
    inputs = write_pool(
        folder / "pool",
        vectors,
        levels=[leaf],
        parents=[np.arange(LEAVES) // 4],
        groups={
            "language": [("en", "is", "fo")[row % 3] for row in leaf],
            "kind": ["ab"[row % 2] for row in leaf],
            "seen": [None] * ROWS,
        },
        scores={"quality": rng.random(ROWS), "length": rng.normal(100, 30, ROWS), "rank": rng.permutation(ROWS)},
        texts=["cat" if row % 20 else "Heron and cat" for row in range(ROWS)],
        block_rows=200,
    )
    birds = EntriesSignal(name="birds", values=["heron", "cat"])
    inputs["signals.birds"] = compute_signal(birds, inputs, InProcess(make_run(folder)))
    return inputs, make_run(folder)


def refuses(chosen: Chosen) -> bool:
    """Whether a strategy keeps no limit at all, so that nothing is drawn."""
    return not SamplingConfig.model_validate({"strategy": chosen, "target": TARGET}).strategy.obeyed()


DRAWN = ["balanced", "proportional-['language', 'kind']"]
TELLING = [name_of(chosen) for chosen in CHOSEN if refuses(chosen) or name_of(chosen) in DRAWN]


@pytest.mark.parametrize("limit", sorted(EVERY_LIMIT))
@pytest.mark.parametrize("chosen", telling(CHOSEN, *TELLING, name=name_of), ids=name_of)
@pytest.mark.long
def test_each_limit_is_kept_or_refused_by_name(
    pool: tuple[dict[str, StepRef], Run], chosen: Chosen, limit: str
) -> None:
    settings = {"strategy": chosen, "target": TARGET}
    plain = SamplingConfig.model_validate(settings)
    if limit not in plain.strategy.obeyed():
        with pytest.raises(ValidationError, match=f"strategy {plain.strategy.name} does not keep {limit}"):
            SamplingConfig.model_validate({**settings, **LIMITS[limit]})
        return
    table = Selection.open(sampled(SamplingConfig.model_validate({**settings, **LIMITS[limit]}), *pool)).table()
    copies = np.bincount(table["leaf"], table["copies"], LEAVES)
    assert copies.sum() == TARGET
    if limit == "cap":
        assert copies.max() <= LIMITS["cap"]["cap"]
    elif limit == "floor":
        assert copies.min() >= LIMITS["floor"]["floor"]
    else:
        assert _mean_rank(pool, table["row_id"].to_numpy()) > 0.6 * ROWS
        hashed = Selection.open(sampled(plain, *pool)).row_ids()
        assert _mean_rank(pool, hashed) < 0.56 * ROWS, "the order is what raises the score"


def _mean_rank(pool: tuple[dict[str, StepRef], Run], row_ids: np.ndarray) -> float:
    from evenkeel.tasks.ingest.pool import Pool

    return float(Pool.open(pool[0]["ingest"]).column("score.rank")[row_ids.astype(int)].mean())


def test_every_strategy_is_tried_with_every_limit() -> None:
    tried = {chosen if isinstance(chosen, str) else chosen["name"] for chosen in CHOSEN}
    assert tried == set(STRATEGIES.ours())
    for model in STRATEGIES.ours().values():
        assert model.obeys <= EVERY_LIMIT


def test_a_recipe_with_a_limit_that_its_strategy_ignores_is_refused(tmp_path: Path) -> None:
    from evenkeel.flows.recipe import parse
    from evenkeel.infra.errors import RecipeError

    document = {
        "dataset": "tickets",
        "source": {"uri": str(tmp_path / "in")},
        "sampling": {"target": 10, "strategy": {"name": "weighted", "by": "clean", "draw": "top"}, "cap": 3},
        "destination": {"uri": str(tmp_path / "out")},
    }
    with pytest.raises(RecipeError, match="weighted does not keep cap"):
        parse(document)
    parse({**document, "sampling": {"target": 10, "strategy": "flat", "cap": 3, "floor": 1}})
