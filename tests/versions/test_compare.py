"""Sets of rows are apart where they differ and not where they do not, and sources near a target are worth the most."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

from evenkeel.infra import storage
from evenkeel.infra.errors import InputError, StorageError
from evenkeel.infra.workspace import DONE, StepRef
from evenkeel.tasks.dedup.target_set import TargetSet
from evenkeel.tasks.distance.measures import BY
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.versions.compare import Comparison, compare
from evenkeel.tasks.versions.linear_probe import predict
from evenkeel.tasks.versions.row_sets import Frame, Members, shards_like
from evenkeel.tasks.versions.value import counts_by_value, value
from tests.sample.pools import make_run, sampled, write_pool

KINDS, ROWS, D = 8, 2400, 6
Steps = dict[str, StepRef]


def pool(folder: Path, seed: int = 0, moved: float = 0.0) -> Steps:
    """A pool of eight kinds; sellers a and b sell the same, c sells kinds 0 to 3, d kind 5. moved: all of them."""
    rng, centres = np.random.default_rng(seed), np.random.default_rng(9).normal(0, 1.5, (KINDS, D))
    seller = rng.choice(list("abcd"), ROWS)
    kind = np.where(seller == "c", rng.integers(0, 4, ROWS), rng.integers(0, KINDS, ROWS))
    kind[seller == "d"] = 5
    x = centres[kind] + rng.normal(0, 0.5, (ROWS, D)) + moved
    leaf = kind * 3 + rng.integers(0, 3, ROWS)
    done = write_pool(
        folder,
        x,
        levels=[leaf],
        groups={"seller": [None if n == 0 else str(one) for n, one in enumerate(seller)]},
        ids=[f"{seed}-{n}" for n in range(ROWS)],
        block_rows=500,
    )
    done["sample"] = sampled(SamplingConfig(target=400, strategy="random"), done, make_run(folder / "run"))
    for ref in done.values():
        storage.write_json(storage.join(ref.uri, DONE), {})
    np.save(folder / "target.npy", (centres[5] + rng.normal(0, 0.5, (120, D)) + moved).astype(np.float32))
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Frame, Path]:
    folder = tmp_path_factory.mktemp("compare")
    return Frame.of(pool(folder / "pool"), "v1", str(folder / "frame"), make_run(folder / "other")), folder / "pool"


def seller(frame: Frame, name: str) -> Members:
    return Members(column="group.seller", value=name)


def apart(found: Comparison) -> set[str]:
    return {one.by for one in found.distances if one.apart}


@pytest.mark.long
def test_sets_that_hold_the_same_are_not_apart_and_others_are(made: tuple[Frame, Path]) -> None:
    frame, _ = made
    a, b, c = (frame.of_pool(name, seller(frame, name)) for name in "abc")
    everything = frame.of_pool("pool", Members())
    assert apart(compare(frame, a, b)) == set()
    assert apart(compare(frame, a, c)) == set(BY)
    assert compare(frame, a, c, everything).distances[0].pool is not None
    same = compare(frame, everything, everything)
    assert same.shared == ROWS
    assert apart(same) == set()
    version = frame.of_version("v1", frame.steps)
    drawn = compare(frame, version, everything)
    assert (drawn.rows_a, drawn.shared) == (400, 400)
    assert apart(drawn) == set()
    assert frame.of_pool("none", seller(frame, "(none)")).rows == 1


@pytest.mark.long
def test_a_version_of_another_pool_is_compared_in_the_same_vectors(made: tuple[Frame, Path], tmp_path: Path) -> None:
    frame, _ = made
    mine = frame.of_version("v1", frame.steps)
    again = frame.of_version("v2", pool(tmp_path / "again", seed=1))
    moved = frame.of_version("v3", pool(tmp_path / "moved", seed=1, moved=1.0))
    assert apart(compare(frame, mine, again)) == set()
    assert apart(compare(frame, mine, moved)) >= {"mmd", "frechet"}
    assert again.rows == 400
    gone = {**frame.steps, "ingest": StepRef(step="ingest", key="gone", uri=str(tmp_path / "gone"))}
    with pytest.raises(StorageError, match="gone from the workspace"):
        frame.of_version("v4", gone)


@pytest.mark.long
def test_the_source_near_the_target_is_worth_the_most(made: tuple[Frame, Path]) -> None:
    frame, folder = made
    wanted = frame.of_target("target", TargetSet(uri=str(folder / "target.npy"))).leaves
    sources = counts_by_value(frame, "group.seller", ["a", "b", "c", "d", "nobody"])
    assert {name: int(counts.sum()) for name, counts in sources.items()} == {
        name: frame.of_pool(name, seller(frame, name)).rows for name in "abcd"
    }
    held = frame.of_version("v1", frame.steps)
    found = value(frame, sources, wanted, ("v1", held.leaves))
    assert found.sources[0].name == "d"
    assert found.sources[0].worth > 0.5
    assert found.sources[0].new > 0.5
    assert found.sources[0].clusters == pytest.approx(3, abs=0.1)
    assert [one.added for one in found.sources if one.name == "c"] == [0]
    few = value(frame, sources, wanted, ("v1", held.leaves), rows=50).sources[0]
    assert (few.name, few.added) == ("d", 50)
    assert 0 < few.worth < found.sources[0].worth
    alone = value(frame, sources, wanted, ("nothing", np.zeros_like(wanted)))
    assert alone.sources[0].name == "d"
    assert alone.sources[-1].name == "c"


@pytest.mark.slow
def test_the_best_number_of_rows_is_that_of_a_grid(made: tuple[Frame, Path]) -> None:
    frame, _ = made
    counts = counts_by_value(frame, "group.seller", ["c", "d"])
    wanted = 3 * counts["c"] + counts["d"]
    found = value(frame, {"c": counts["c"], "d": counts["d"]}, wanted, ("d", counts["d"]))
    best = next(one for one in found.sources if one.name == "c")
    grid = [value(frame, {"c": counts["c"]}, wanted, ("d", counts["d"]), rows=n) for n in range(50, best.rows, 50)]
    assert best.with_them <= min(one.sources[0].with_them for one in grid) * 1.02


def test_sets_that_are_not_there_are_named(made: tuple[Frame, Path], tmp_path: Path) -> None:
    frame, _ = made
    with pytest.raises(InputError, match="has no rows"):
        frame.of_pool("group.seller=e", seller(frame, "e"))
    with pytest.raises(InputError, match="no shard of the pool"):
        shards_like(frame.rows, "nowhere*")
    for array, message in [
        (np.zeros((0, D)), "empty"),
        (np.zeros((3, D + 1)), "dimension"),
        (np.full((2, D), np.nan), "not finite"),
    ]:
        np.save(tmp_path / "bad.npy", array.astype(np.float32))
        with pytest.raises(InputError, match=message):
            frame.of_target("file", TargetSet(uri=str(tmp_path / "bad.npy")))
    np.save(tmp_path / "one.npy", np.zeros((1, D), np.float32))
    one = frame.of_target("one", TargetSet(uri=str(tmp_path / "one.npy")))
    found = compare(frame, one, frame.of_pool("pool", Members()))
    assert all(line.distance is not None and np.isfinite(line.distance) for line in found.distances)


def test_transport_to_the_target_predicts_what_a_mixture_teaches() -> None:
    """On digits: the nearer a mixture, the better a linear model trained on it; projektor's finding."""
    from evenkeel.tasks.signal.toward.sinkhorn import squared_distances, transport

    x, y = load_digits(return_X_y=True)
    x, rng = (x / 16).astype(np.float32), np.random.default_rng(0)
    test, train = np.split(rng.permutation(len(x)), [500])
    centroids = x[rng.choice(train, 60, replace=False)]
    leaf = squared_distances(x, centroids).argmin(axis=1)
    cost, aim = squared_distances(centroids, centroids), np.bincount(leaf[test], minlength=60) / len(test)
    apart, right = [], []
    for focus in np.linspace(0, 0.95, 12):
        weights = np.where(y[train] < 3, 1.0, 1 - focus)
        chosen = rng.choice(train, 150, replace=False, p=weights / weights.sum())
        apart.append(transport(np.bincount(leaf[chosen], minlength=60) / 150, aim, cost, 0.01).cost)
        right.append((predict(x[chosen], y[chosen], x[test], 10) == y[test]).mean())
    assert spearmanr(apart, right).statistic <= -0.6
