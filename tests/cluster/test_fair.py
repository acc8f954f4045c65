"""Repaired hierarchies: sibling masses within a ratio, the shares of a protected group within bounds, at a price."""

import numpy as np
import pytest

from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.kmeans.repair import MassBounds, repair_parents
from evenkeel.tasks.step import Run
from tests.embed.pools import new_run
from tests.sample.pools import write_pool

ROWS = 1500


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, StepRef], Run, np.ndarray]:
    """One region with most of the rows; `sex` follows the first coordinate, 40 % of a on the whole."""
    folder = tmp_path_factory.mktemp("fair")
    rng = np.random.default_rng(2)
    blob = np.minimum(rng.geometric(0.35, ROWS) - 1, 7)
    x = rng.normal(0, 3, (8, 4))[blob] + rng.normal(0, 1.0, (ROWS, 4))
    sex = np.where(rng.random(ROWS) < 0.4 + 0.35 * np.tanh(x[:, 0] - np.median(x[:, 0])), "a", "b")
    done = write_pool(folder / "pool", x, levels=[np.zeros(ROWS, int)], groups={"sex": list(sex)}, block_rows=700)
    return done, new_run(folder), sex


def clustered(pool: tuple[dict[str, StepRef], Run, np.ndarray], **settings: object) -> tuple[StepRef, Hierarchy]:
    config = ClusteringConfig.model_validate({"levels": [150, 12, 3], "resampling": 1, **settings})
    ref = CLUSTER(config, ClusterInputs.of({name: pool[0][name] for name in ("ingest", "embed", "dedup")}), pool[1])
    return ref, Hierarchy.open(ref)


def consistent(made: Hierarchy) -> None:
    for below, above in zip(made.levels, made.levels[1:], strict=False):
        assert np.bincount(below.parents, below.counts, above.clusters).astype(int).tolist() == above.counts.tolist()


@pytest.mark.slow
def test_sibling_masses_stay_within_their_ratio_at_every_level(
    pool: tuple[dict[str, StepRef], Run, np.ndarray],
) -> None:
    _, free = clustered(pool)
    ref, made = clustered(pool, mass_ratio=2.5)
    consistent(made)
    ratios = [[level.counts.max() / level.counts.min() for level in one.levels[1:]] for one in (free, made)]
    assert min(ratios[0]) > 2.5, "without it, masses differ more"
    assert max(ratios[1]) <= 2.5
    for number in (2, 3):
        facts = ref.facts["repaired"][f"level-{number}"]
        assert facts["rows_outside"] == 0
        assert 0 < facts["inertia"] < 2.0
    assert made.levels[1].inertia > free.levels[1].inertia
    assert (made.rows()["leaf"].to_numpy() == free.rows()["leaf"].to_numpy()).all(), "the leaves are the same"
    both, _ = clustered(pool, protect={"group": "sex", "within": 0.15}, mass_ratio=4)
    assert both.facts["repaired"]["level-2"]["rows_outside"] == 0


@pytest.mark.slow  # in a fresh clone most of it is compiling
def test_a_protected_group_has_about_its_share_in_every_cluster(
    pool: tuple[dict[str, StepRef], Run, np.ndarray],
) -> None:
    sex = pool[2]

    def farthest(made: Hierarchy, level: int) -> float:
        leaf = made.rows()["leaf"].to_numpy()
        cluster = made.ancestors(level)[leaf]
        shares = np.bincount(cluster, sex == "a") / np.bincount(cluster)
        return float(np.abs(shares - (sex == "a").mean()).max())

    _, free = clustered(pool)
    ref, made = clustered(pool, protect={"group": "sex", "within": 0.1})
    consistent(made)
    assert farthest(free, 2) > 0.2
    for level in (2, 3):
        assert farthest(made, level) <= 0.1 + 1e-9
        assert ref.facts["repaired"][f"level-{level}"]["rows_outside"] == 0
    assert ref.facts["repaired"]["level-2"]["inertia"] > 0
    with pytest.raises(RecipeError, match="'age'"):
        clustered(pool, protect={"group": "age"})


def test_moves_cost_little_and_a_merge_and_a_split_help_where_no_move_does() -> None:
    """Two heavy children in one parent move apart; the nearest parent takes the child, not any."""
    free = np.zeros(1)
    children = np.array([[0.0], [1.0], [5.0], [6.0], [20.0]], np.float32)
    parents = np.array([0, 0, 0, 1, 2], np.int32)
    centroids = np.array([[2.0], [6.0], [20.0]], np.float32)
    masses = np.array([[10.0], [10.0], [10.0], [10.0], [10.0]])
    found = repair_parents(children, masses, parents, centroids, MassBounds(10, 20, free, free + 1))
    assert found.parents.tolist() == [0, 0, 1, 1, 2]
    assert found.unmet == 0
    lumps = np.array([[0.0], [1.0], [50.0], [60.0]], np.float32)
    heavy = np.array([[30.0], [30.0], [2.0], [2.0]])
    merged = repair_parents(
        lumps,
        heavy,
        np.array([0, 0, 1, 2], np.int32),
        np.array([[0.5], [50.0], [60.0]], np.float32),
        MassBounds(4, 30, free, free + 1),
    )
    assert merged.unmet == 0
    assert merged.parents[0] != merged.parents[1]
    assert merged.parents[2] == merged.parents[3]
    nothing = repair_parents(children[:1], masses[:1], parents[:1], centroids, MassBounds(10, 20, free, free + 1))
    assert nothing.unmet > 0
