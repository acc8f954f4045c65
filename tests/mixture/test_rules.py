"""Each rule of mixtures does what its source says, on laws whose answer is known."""

import itertools

import numpy as np
import pytest

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.mixture.evidence import Evidence, Geometry
from evenkeel.tasks.mixture.rules.bandit import Bandit, confidence_bounds, softmax
from evenkeel.tasks.mixture.rules.equitable import Curve, Equitable, allocate, fit_curve
from evenkeel.tasks.mixture.rules.exponentiated import Exponentiated, interactions
from evenkeel.tasks.mixture.rules.fixed import Fixed
from evenkeel.tasks.mixture.rules.match import Match
from evenkeel.tasks.mixture.rules.regress import Model, Regress, fitted
from evenkeel.tasks.mixture.rules.submodular import Submodular, cut_gains
from evenkeel.tasks.mixture.simplex import limited, total_variation
from tests.mixture.laws import NAMES, Planted, evidence, planted


def test_fixed_weights_are_those_named_and_unknown_domains_are_named() -> None:
    geometry = Geometry(NAMES, np.full(6, 1 / 6))
    assert Fixed(weights={"math": 3, "web": 1}).weigh(geometry).tolist() == [0, 0, 0, 3, 0, 1]
    with pytest.raises(RecipeError, match="does not have: maths"):
        Fixed(weights={"maths": 1}).weigh(geometry)


@pytest.mark.parametrize("by", ["squares", "likelihood"])
def test_match_finds_the_mixture_that_600_target_rows_were_drawn_from(by: str) -> None:
    """Six domains over sixty clusters that they share; the mean over twenty mixtures, and a guess beside it."""
    missed, guessed = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        histograms = rng.dirichlet(np.full(60, 0.15), 6).T
        histograms = 0.7 * histograms + 0.3 * histograms.mean(axis=1, keepdims=True)
        true = rng.dirichlet(np.ones(6))
        target = rng.multinomial(600, histograms @ true) / 600
        found = Match(by=by).weigh(Geometry(NAMES, np.full(6, 1 / 6), histograms, target))
        missed.append(total_variation(found, true))
        guessed.append(total_variation(np.full(6, 1 / 6), true))
    assert np.mean(missed) <= 0.08
    assert np.mean(guessed) > 0.25


def test_perturbing_one_domain_after_another_recovers_the_order_of_a_planted_law() -> None:
    """Aioli's A: the order of what the domains do for all of them, in 20 of 20 laws, with noise."""
    recovered = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        strength = rng.permutation(np.linspace(0.3, 1.8, 6))
        law = Planted(strength + rng.uniform(-0.1, 0.1, (6, 6)), np.ones(6))
        tried = Exponentiated().try_first(evidence(law, np.empty((0, 6))), 24)
        known = evidence(law, tried, noise=0.005, seed=seed)
        helped = interactions(known.table(lambda one: one.weights), -known.table(lambda one: one.by_domain))
        recovered += bool((np.argsort(helped.sum(axis=0)) == np.argsort(strength)).all())
    assert recovered == 20


def test_exponentiated_moves_towards_what_helps_and_follows_a_reward() -> None:
    law = planted(3)
    known = evidence(law, Exponentiated().try_first(evidence(law, np.empty((0, 6))), 12))
    moved = Exponentiated(rate=0.5).propose(known, 3)
    assert law.losses(moved[0]).mean() < law.losses(known.uniform).mean()
    np.testing.assert_allclose(moved.sum(axis=1), 1)
    rewarded = Exponentiated(reward="excess").propose(known, 1)[0]
    gained = rewarded / known.uniform
    assert np.argmax(gained) == np.argmax(np.mean([one.rewards for one in known.trials], axis=0))


@pytest.mark.long
@pytest.mark.parametrize("model", ["law", "exponential", pytest.param("trees", marks=pytest.mark.slow)])
def test_the_search_by_regression_beats_the_natural_mixture_and_predicts(model: Model) -> None:
    """Three rounds of eight trials with noise: the loss of the last proposal against natural and equal weights."""
    gains = []
    for seed in range(2):
        law, rule = planted(seed + 40), Regress(model=model)
        start = evidence(law, np.empty((0, 6)), seed=seed)
        tried = np.vstack([start.natural[None], start.uniform[None], rule.try_first(start, 6)])
        for _ in range(2):
            tried = np.vstack([tried, rule.propose(evidence(law, tried, 0.005, seed), 8)])
        known = evidence(law, tried, 0.005, seed)
        best = rule.propose(known, 1)[0]
        predicted = fitted(known, model)
        assert predicted is not None
        assert predicted(best[None])[0] == pytest.approx(law.losses(best).mean(), abs=0.03)
        gains.append(law.losses(start.natural).mean() - law.losses(best).mean())
        assert law.losses(best).mean() < law.losses(start.uniform).mean() + 0.005
    assert min(gains) > 0.02


def test_a_regression_on_the_overall_metric_alone_does_not_send_every_row_to_one_domain() -> None:
    law = planted(2)
    known = evidence(law, Regress().try_first(evidence(law, np.empty((0, 6))), 16))
    blind = [one.__class__(**{**vars(one), "by_domain": np.full(6, np.nan)}) for one in known.trials]
    best = Regress().propose(Evidence(**{**vars(known), "trials": tuple(blind)}), 1)[0]
    assert best.max() < 0.6
    assert law.losses(best).mean() < law.losses(known.natural).mean()


def test_the_bandit_follows_rewards_that_drift() -> None:
    """Three arms whose best changes twice; regret over 90 steps against equal weights."""
    regrets = {"bandit": 0.0, "uniform": 0.0}
    rng = np.random.default_rng(0)
    means = np.array([[0.8, 0.4, 0.3], [0.2, 0.9, 0.4], [0.3, 0.3, 0.7]]).repeat(30, axis=0)
    seen = np.full((0, 3), np.nan)
    for mean in means:
        bounds = confidence_bounds(seen, 0.3, 0.8)
        weights = softmax(bounds, 0.1)
        regrets["bandit"] += mean.max() - weights @ mean
        regrets["uniform"] += mean.max() - mean.mean()
        pulled = rng.choice(3, p=weights)
        row = np.full(3, np.nan)
        row[pulled] = mean[pulled] + rng.normal(0, 0.05)
        seen = np.vstack([seen, row])
    assert regrets["bandit"] < 0.6 * regrets["uniform"]


def test_the_bandit_gives_most_to_the_domain_that_rewards_most() -> None:
    law = planted(1)
    known = evidence(law, np.random.default_rng(0).dirichlet(np.ones(6), 8))
    mixtures = Bandit(reward="influence", explore=0.0).propose(known, 3)
    most = np.argmax(np.mean([one.rewards for one in known.trials], axis=0))
    assert np.argmax(mixtures[0]) == np.argmax(mixtures[1]) == most
    assert confidence_bounds(np.array([[1.0, np.nan]]), 1.0)[1] == np.inf


def test_budgets_by_learning_curves_are_within_2_percent_of_brute_force() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        curves = [Curve(0.0, *rng.uniform((0.5, 0.2), (3, 1.2))) for _ in range(3)]
        cost, most = rng.uniform(0.5, 3, 3), np.array([400.0, 900.0, 2000.0])
        found = allocate(curves, cost, most, 1000.0)
        assert found @ cost <= 1000.0 * (1 + 1e-9)
        assert (found <= most).all()
        values = [
            sum(float(curve.at(np.array([n]))[0]) for curve, n in zip(curves, rows, strict=True))
            for one, other in itertools.product(np.linspace(1, 400, 40), np.linspace(1, 900, 40))
            if (last := min(2000.0, (1000.0 - cost[0] * one - cost[1] * other) / cost[2])) >= 1
            for rows in [(one, other, last)]
        ]
        reached = sum(float(curve.at(np.array([n]))[0]) for curve, n in zip(curves, found, strict=True))
        assert reached >= max(values) - 0.02 * abs(max(values))


def test_a_curve_is_recovered_from_its_points_and_a_flat_one_gains_nothing() -> None:
    rows = np.array([50.0, 100, 300, 900, 2000])
    curve = fit_curve(rows, Curve(0.9, 2.0, 0.5).at(rows))
    assert curve == pytest.approx((0.9, 2.0, 0.5), rel=0.03)
    assert fit_curve(rows, -rows).scale == 0.0


def test_equitable_gives_less_to_a_domain_that_costs_more() -> None:
    law = planted(5, 3)
    known = evidence(law, np.random.default_rng(1).dirichlet(np.ones(3), 12))
    cheap = Equitable().propose(Evidence(**{**vars(known), "cost": np.array([1.0, 1, 1])}), 1)[0]
    dear = Equitable().propose(Evidence(**{**vars(known), "cost": np.array([5.0, 1, 1])}), 1)[0]
    assert dear[0] < cheap[0]


def test_the_graph_cut_takes_first_what_others_resemble_and_never_gains_more_later() -> None:
    means = np.array([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0]])
    gains = cut_gains(means, 0.4)
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    similarity = unit @ unit.T
    assert np.argmax(gains) == np.argmax(similarity.sum(axis=0) - 0.4 * np.diag(similarity))

    def value(chosen: list[int]) -> float:
        return float(similarity[:, chosen].sum() - 0.4 * similarity[np.ix_(chosen, chosen)].sum())

    order, have = list(np.argsort(-gains)), 0.0
    for place in range(1, 5):
        assert value(order[:place]) - have == pytest.approx(4 * gains[order[place - 1]])
        have = value(order[:place])
    weights = Submodular().weigh(Geometry(NAMES[:4], np.full(4, 0.25), means=means))
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights / weights[0], (1 + gains + gains**2 / 2) / (1 + gains[0] + gains[0] ** 2 / 2))


def test_limits_keep_proportions_between_them() -> None:
    np.testing.assert_allclose(limited(np.array([8.0, 1, 1]), cap=0.5), [0.5, 0.25, 0.25])
    np.testing.assert_allclose(limited(np.array([0.0, 3, 1]), floor=0.1), [0.1, 0.675, 0.225])
    np.testing.assert_allclose(limited(np.array([1.0, 0, 0]), cap=0.4), [0.4, 0.3, 0.3], atol=1e-6)
    with pytest.raises(ValueError, match="no weights of 3 domains"):
        limited(np.ones(3), floor=0.4)
    with pytest.raises(ValueError, match="weights >= 0"):
        limited(np.array([np.nan, 1.0]))


@pytest.mark.parametrize("rule", [Regress(), Exponentiated(), Bandit(), Equitable()])
def test_the_same_evidence_gives_the_same_proposals(rule: Regress | Exponentiated | Bandit | Equitable) -> None:
    law = planted(7)
    known = evidence(law, np.random.default_rng(2).dirichlet(np.ones(6), 12), rounds=2)
    one, other = rule.propose(known, 5), rule.propose(known, 5)
    np.testing.assert_array_equal(one, other)
    assert one.shape == (5, 6)
    np.testing.assert_allclose(one.sum(axis=1), 1)
