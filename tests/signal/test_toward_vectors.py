"""Transport, Frechet distance and the linear models agree with exact ones, and find what a target asks for."""

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import linprog, minimize
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.sample.strategies.toward import Toward
from evenkeel.tasks.signal.kinds.toward import TowardSignal
from evenkeel.tasks.signal.toward.classifier import logistic, ranks, ridge, savage_scores, similarities
from evenkeel.tasks.signal.toward.frechet import Moments, frechet
from evenkeel.tasks.signal.toward.options import TowardOptions
from evenkeel.tasks.signal.toward.sinkhorn import potential, squared_distances, transport
from evenkeel.tasks.signal.toward.soft import WIDTHS
from tests.sample.pools import write_pool
from tests.signal.test_toward import toward
from tests.signal.values import signal_of, values_of

KINDS, ROWS, D = 8, 960, 12
Planted = tuple[dict[str, StepRef], np.ndarray, np.ndarray, Path]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A pool of eight kinds in 32 leaves, its vectors and kinds, and forty rows like those of kind 3 as the target."""
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(5)
    centres, inner = rng.normal(0, 1, (KINDS, D)), rng.normal(0, 0.6, (KINDS * 4, D))
    leaf = rng.integers(0, KINDS * 4, ROWS)
    x = (centres[leaf // 4] + inner[leaf] + rng.normal(0, 0.3, (ROWS, D))).astype(np.float32)
    mine = rng.integers(12, 16, 40)
    np.save(folder / "target.npy", (centres[3] + inner[mine] + rng.normal(0, 0.3, (40, D))).astype(np.float32))
    done = write_pool(folder / "pool", x, levels=[leaf], parents=[np.arange(32) // 4], block_rows=250)
    storage.write_json(str(folder / "pool" / "embed" / "embedding.json"), {"method": "column"})
    return done, x, leaf // 4, folder / "target.npy"


@pytest.mark.parametrize("teacher", ["membership", "similarity"])
def test_a_classifier_finds_the_rows_of_the_target(planted: Planted, tmp_path: Path, teacher: str) -> None:
    done, _, kind, target = planted
    found = values_of(toward(target, by="classifier", teacher=teacher), done, tmp_path)
    assert roc_auc_score(kind == 3, found) > 0.97


@pytest.mark.long
def test_a_small_target_is_not_fitted_exactly() -> None:
    rng = np.random.default_rng(7)
    apart, others = rng.normal(0, 0.12, 200), rng.normal(size=(3000, 200)).astype(np.float32)
    wanted = (apart + rng.normal(size=(30, 200))).astype(np.float32)
    fresh = np.concatenate([apart + rng.normal(size=(300, 200)), rng.normal(size=(3000, 200))])
    found = [logistic(wanted, others, penalty) for penalty in (TowardOptions().penalty, 1.0)]
    kept, loose = (roc_auc_score(np.arange(3300) < 300, fresh @ one[:-1]) for one in found)
    assert kept > loose + 0.02


def test_steep_ranks_find_more_of_few_rows() -> None:
    digits = load_digits()
    x, mine = digits.data.astype(np.float32), digits.target == 3
    near = ranks(similarities(x, x[mine][:60], 5))
    found = [ridge(x, target, 1.0)[:-1] for target in (savage_scores(near), near)]
    steep, flat = (mine[np.argsort(-(x @ one))[: mine.sum()]].mean() for one in found)
    assert steep > flat + 0.05


def test_rows_taken_by_transport_are_nearer_to_the_target_than_random_ones(planted: Planted, tmp_path: Path) -> None:
    done, x, kind, target = planted
    found = values_of(toward(target, by="transport"), done, tmp_path)
    best, wanted = np.argsort(-found)[:120], np.load(target)

    def distance(rows: np.ndarray) -> float:
        a, b = np.full(len(rows), 1 / len(rows)), np.full(len(wanted), 1 / len(wanted))
        return transport(a, b, squared_distances(x[rows], wanted), 0.01).cost

    assert distance(best) <= 0.4 * distance(np.random.default_rng(0).permutation(ROWS)[:120])
    assert (kind[best] == 3).mean() > 0.8


def test_rows_taken_by_partial_transport_spread_over_the_target(planted: Planted, tmp_path: Path) -> None:
    """The gradient takes the rows around what the pool lacks most; where it is known how many go, all are served."""
    done, x, kind, _ = planted
    rng = np.random.default_rng(6)
    wanted = np.concatenate([x[rng.permutation(np.flatnonzero(kind == one))[:20]] for one in (2, 3)])
    np.save(tmp_path / "target.npy", wanted + rng.normal(0, 0.05, wanted.shape).astype(np.float32))

    def distance(**options: object) -> float:
        found = values_of(toward(tmp_path / "target.npy", by="transport", **options), done, tmp_path / str(options))
        best = np.argsort(-found)[:60]
        a, b = np.full(60, 1 / 60), np.full(len(wanted), 1 / len(wanted))
        return transport(a, b, squared_distances(x[best], wanted), 0.01).cost

    of_gradient = distance()
    assert distance(take=60) < 0.8 * of_gradient
    assert distance(take=60 / ROWS) == pytest.approx(distance(take=60))


@pytest.mark.long
def test_soft_weights_are_those_of_the_definition(planted: Planted, tmp_path: Path) -> None:
    done, x, _, target = planted
    found, ref = signal_of(toward(target, by="clusters", prior=2.0), done, tmp_path)
    level = Hierarchy.open(done["cluster"]).levels[0]
    spread = level.counts @ level.radii.astype(float) ** 2 / ROWS
    wanted = np.load(target)
    weights, scores = [], []
    for width in WIDTHS:
        of_pool, of_target = (_shared_out(part, level.centroids, width * spread) for part in (x, wanted))
        held, asked = of_pool.sum(0), of_target.sum(0)
        ratio = (asked + 2 * held / ROWS) / (len(wanted) + 2) / (held / ROWS)
        weights.append(np.log(of_pool @ ratio))
        left = [(asked - one + 2 * held / ROWS) / (len(wanted) + 1) / (held / ROWS) @ one for one in of_target]
        scores.append(np.log(left).mean())
    best = int(np.argmax(scores))
    assert ref.facts["width"] == WIDTHS[best]
    np.testing.assert_allclose(found, weights[best], atol=1e-4)


def _shared_out(x: np.ndarray, centroids: np.ndarray, variance: float) -> np.ndarray:
    """Return the shares of rows in their eight nearest clusters, (n, k)."""
    apart = squared_distances(x, centroids)
    shares = np.where(apart <= np.sort(apart, axis=1)[:, 7:8], np.exp(-apart / (2 * variance)), 0)
    return np.asarray(shares / shares.sum(1, keepdims=True))


def test_a_small_target_finds_the_clusters_beside_its_own(tmp_path: Path) -> None:
    """A kind of thirty clusters of eight rows, of which six rows of the target can hit no more than six."""
    rng = np.random.default_rng(3)
    leaf = np.repeat(np.arange(240), 8)
    centres = rng.normal(0, 1.2, (8, D))[np.arange(240) // 30] + rng.normal(0, 0.5, (240, D))
    x = (centres[leaf] + rng.normal(0, 0.25, (len(leaf), D))).astype(np.float32)
    done = write_pool(tmp_path / "pool", x, levels=[leaf], block_rows=700)
    storage.write_json(str(tmp_path / "pool" / "embed" / "embedding.json"), {"method": "column"})
    np.save(tmp_path / "target.npy", x[rng.permutation(240)[:6]] + 0.01)

    def found(assign: str) -> float:
        values = values_of(toward(tmp_path / "target.npy", by="clusters", assign=assign), done, tmp_path / assign)
        order = np.lexsort((rng.permutation(len(x)), -values))
        return float((leaf[order[:240]] < 30).mean())

    assert found("soft") > 0.9
    assert found("hard") < 0.5


def test_the_prefix_is_the_union_of_clusters_that_is_nearest(planted: Planted, tmp_path: Path) -> None:
    done, x, kind, target = planted
    found, ref = signal_of(toward(target, by="prefix", components=D), done, tmp_path)
    wanted = np.load(target).astype(np.float64)

    def distance(rows: np.ndarray) -> float:
        both = (Moments.of(part.astype(np.float64), np.zeros(len(part), int), 1) for part in (rows, wanted))
        return float(frechet(*both)[0])

    assert ref.facts["frechet"] == pytest.approx(distance(x[~np.isnan(found)]), rel=1e-3)
    assert ref.facts["frechet"] <= 0.3 * distance(x)
    assert (kind[~np.isnan(found)] == 3).mean() > 0.9


@pytest.mark.parametrize("by", ["classifier", "clusters", "transport", "prefix"])
def test_blocks_and_threads_change_nothing(planted: Planted, tmp_path: Path, by: str) -> None:
    done, x, _, target = planted
    one = values_of(toward(target, by=by), done, tmp_path / "one", threads=1)
    four = values_of(toward(target, by=by), done, tmp_path / "four", threads=4)
    np.testing.assert_array_equal(one, four)
    assert len(one) == len(x)


def test_transport_is_that_of_a_linear_program() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(0, 1, (50, 4)).astype(np.float32), rng.normal(0.7, 1, (50, 4)).astype(np.float32)
    a, b = rng.dirichlet(np.full(50, 3.0)), np.full(50, 1 / 50)
    cost = squared_distances(x, y)
    sums = np.concatenate([np.kron(np.eye(50), np.ones(50)), np.kron(np.ones(50), np.eye(50))])
    exact = linprog(cost.ravel(), A_eq=sums, b_eq=np.concatenate([a, b])).fun
    found = transport(a, b, cost, 0.001, 5000, 1e-6)
    assert found.cost == pytest.approx(exact, rel=1e-3)
    assert float(a @ found.f + b @ found.g) == pytest.approx(exact, rel=1e-2)


def test_partial_transport_is_that_of_a_linear_program() -> None:
    """Of sixty rows that may each give a twentieth, those that serve the target at least cost are below the others."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(0, 1, (60, 3)).astype(np.float32), rng.normal(0.7, 1, (20, 3)).astype(np.float32)
    most, b = np.full(60, 1 / 20), rng.dirichlet(np.full(20, 3.0))
    cost = squared_distances(x, y)
    rows, columns = np.kron(np.eye(60), np.ones(20)), np.kron(np.ones(60), np.eye(20))
    exact = linprog(cost.ravel(), A_ub=rows, b_ub=most, A_eq=columns, b_eq=b)
    found = transport(most, b, cost, 0.002, 20_000, 1e-7, partial=True)
    assert found.cost == pytest.approx(exact.fun, rel=0.01)
    assert found.f.max() <= 1e-12
    given = exact.x.reshape(60, 20).sum(1)
    lowest = potential(x, y, b, found.g, found.epsilon)
    assert lowest[given > 0.99 * most].max() < lowest[given < 0.01 * most].min()


def test_unbalanced_transport_is_the_least_cost_of_its_definition() -> None:
    rng = np.random.default_rng(8)
    a, b, cost = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(3)), rng.uniform(0, 2, (4, 3))
    price, eps = 0.7 * cost.mean(), 0.05 * cost.mean()

    def divergence(x: np.ndarray, y: np.ndarray) -> float:
        return float((x * np.log(x / y) - x + y).sum())

    def total(log_plan: np.ndarray) -> tuple[float, np.ndarray]:
        plan = np.exp(log_plan).reshape(4, 3)
        rows, columns = plan.sum(1), plan.sum(0)
        moved = price * (divergence(rows, a) + divergence(columns, b))
        slope = cost + price * (np.log(rows / a)[:, None] + np.log(columns / b)) + eps * np.log(plan / np.outer(a, b))
        return float((plan * cost).sum()) + moved + eps * divergence(plan, np.outer(a, b)), (plan * slope).ravel()

    best = minimize(total, np.log(np.outer(a, b)).ravel(), jac=True, method="L-BFGS-B", tol=1e-14)
    found = transport(a, b, cost, 0.05, 5000, 1e-12, unbalanced=0.7)
    plan = np.exp((found.f[:, None] + found.g - cost) / found.epsilon) * np.outer(a, b)
    np.testing.assert_allclose(plan, np.exp(best.x).reshape(4, 3), atol=1e-4)
    assert plan.sum() < 0.999


def test_outliers_of_the_target_are_left_where_weight_may_be(planted: Planted, tmp_path: Path) -> None:
    done, x, kind, target = planted
    apart = x[kind == 2].mean(0) - x[kind == 3].mean(0)
    far = x[kind == 2][:10] + 8 * apart / np.linalg.norm(apart)
    np.save(tmp_path / "mixed.npy", np.concatenate([np.load(target), far]))

    def share(**options: object) -> float:
        found = values_of(toward(tmp_path / "mixed.npy", by="transport", **options), done, tmp_path / str(options))
        return float((kind[np.argsort(-found)[:100]] == 3).mean())

    assert share(unbalanced=1.0) > 0.95 > share() + 0.1


def test_what_was_seen_is_not_asked_for_again(planted: Planted, tmp_path: Path) -> None:
    done, x, kind, _ = planted
    rng = np.random.default_rng(6)
    both = [x[rng.permutation(np.flatnonzero(kind == one))[:30]] for one in (3, 5)]
    np.save(tmp_path / "target.npy", np.concatenate(both))
    np.save(tmp_path / "seen.npy", x[kind == 5])

    def kinds(seen: dict[str, object] | None) -> np.ndarray:
        known = {"uri": str(tmp_path / "target.npy"), "leak": "allowed", "seen": seen}
        signal = TowardSignal.model_validate({"name": "near", "by": "transport", "target": known})
        found, ref = signal_of(signal, done, tmp_path / str(bool(seen)))
        assert ref.facts["seen_rows"] == (0 if seen is None else (kind == 5).sum())
        return np.bincount(kind[np.argsort(-found)[:100]], minlength=KINDS)

    before, after = kinds(None), kinds({"uri": str(tmp_path / "seen.npy")})
    assert min(before[3], before[5]) > 20
    assert after[3] > 85
    assert after[5] == 0


def test_rows_of_the_sample_have_their_own_potential() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(0, 1, (60, 3)).astype(np.float32), rng.normal(1, 1, (20, 3)).astype(np.float32)
    a, b = np.full(60, 1 / 60), np.full(20, 1 / 20)
    found = transport(a, b, squared_distances(x, y), 0.05, 2000, 1e-9)
    again = potential(x, y, b, found.g, found.epsilon)
    np.testing.assert_allclose(again - again.mean(), found.f - found.f.mean(), atol=1e-5)


def test_frechet_is_that_of_the_definition_and_adds_up() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(0, 1, (90, 5)) @ rng.normal(0, 1, (5, 5)), rng.normal(1, 2, (70, 5))
    member = rng.integers(0, 2, 90)
    aim = Moments.of(y, np.zeros(70, int), 1)
    whole = Moments.of(x, member, 2)
    parts = Moments.of(x[:40], member[:40], 2).add(Moments.of(x[40:], member[40:], 2))
    for one, found in enumerate(frechet(parts, aim)):
        part = x[member == one]
        c, t = np.cov(part.T, bias=True), np.cov(y.T, bias=True)
        shared = np.real(sqrtm(sqrtm(t) @ c @ sqrtm(t)))
        expected = ((part.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c + t - 2 * shared)
        assert found == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(frechet(whole, aim), frechet(parts, aim))


def test_noise_is_refused_where_it_would_drown_the_score() -> None:
    with pytest.raises(ValueError, match="use draw: top"):
        Toward.model_validate({"by": "transport", "draw": "gumbel"})
    assert Toward.model_validate({"by": "classifier", "draw": "gumbel"}).draw == "gumbel"


def test_a_level_that_is_not_there_is_named(planted: Planted, tmp_path: Path) -> None:
    done, _, _, target = planted
    with pytest.raises(RecipeError, match="no such level"):
        values_of(toward(target, by="prefix", level=3), done, tmp_path)
