"""Gates do not flap: hardly ever a false block on another seed of the same pool, always a block on a planted fifth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evenkeel.expectations.expectation import NotApplicable
from evenkeel.expectations.suites import suite
from tests.examples import THOROUGH, most, telling
from tests.expectations.profiles import CLUSTERS, GROUPS, TARGET, filled, planted, tables, zipf

RUNS = most(400)


class Pool:
    """One pool: clusters with a long tail, and a group column that leans on them; every draw is a re-seeded run."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.sizes = zipf(CLUSTERS, 80_000)
        popular = zipf(GROUPS, 1000) / 1000
        self.mix = rng.dirichlet(popular * 8 + 0.01, CLUSTERS)
        self.members = np.round(self.mix * self.sizes[:, None])
        self.languages = self.members.sum(axis=0)

    def version(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return rows by cluster and by group of one run: quotas with a random rest, rows of a cluster at random."""
        quotas = filled(self.sizes, TARGET)
        short = rng.choice(CLUSTERS, 20, replace=False)
        quotas[short] = np.maximum(1, quotas[short] - 1)
        quotas = np.minimum(quotas, self.members.sum(axis=1)).astype(int)
        chosen = [rng.multivariate_hypergeometric(m.astype(int), q) for m, q in zip(self.members, quotas, strict=True)]
        return quotas.astype(float), np.sum(chosen, axis=0).astype(float)

    def shares(self, now: tuple[np.ndarray, np.ndarray], last: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
        parts = [
            pd.DataFrame(
                {
                    "scope": scope,
                    "name": [f"{letter}{number}" for number in range(len(before))],
                    "before": before,
                    "after": after,
                    "planned": planned,
                    "previous": previous,
                    "radius": 0.5,
                    "near_duplicate_rate": 0.0,
                }
            )
            for scope, letter, before, after, previous, planned in (
                ("level-1", "c", self.sizes, now[0], last[0], filled(self.sizes, TARGET)),
                ("group.language", "g", self.languages, now[1], last[1], np.nan),
            )
        ]
        return pd.concat(parts, ignore_index=True)


def blocked(shares: pd.DataFrame) -> list[str]:
    """Return the labels of the blocking expectations that fail, by the default suite."""
    found = tables(shares=shares)
    failed = []
    for one in suite("default"):
        if one.severity == "block":
            try:
                if not one.holds(one.measure(found[one.table])):
                    failed.append(one.label)
            except NotApplicable:
                continue
    return failed


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(7)


@pytest.mark.long
def test_reseeded_runs_of_one_pool_are_hardly_ever_blocked(pool: Pool) -> None:
    rng = np.random.default_rng(11)
    last = pool.version(rng)
    stopped = []
    for number in range(RUNS):
        now = pool.version(rng)
        shares = pool.shares(now, last)
        stopped += [labels for labels in [blocked(shares)] if labels]
        if number % 10 == 0:
            assert blocked(planted(shares, "level-1", f"c{rng.integers(CLUSTERS)}", 0.2)), (
                "the same run, a fifth planted"
            )
        last = now
    assert len(stopped) / RUNS < 0.01, stopped[:5]


@pytest.mark.long
def test_even_the_tightest_thresholds_do_not_trip_on_noise(pool: Pool) -> None:
    """With thresholds of nearly nothing, what is left is noise: the margins alone must hold it."""
    rng = np.random.default_rng(12)
    tight = {"psi", "moved_rows", "worst_group_change"}
    alarms = 0
    for _ in range(most(160)):
        shares = pool.shares(pool.version(rng), pool.version(rng))
        for one in suite("default"):
            if one.expect in tight:
                strict, found = one.model_copy(update={"at_most": 1e-6}), one.measure(shares)
                alarms += not strict.holds(found)
                assert not strict.holds(replace(found, margin=0.0)), f"{one.label} measures no noise to allow for"
    assert alarms == 0


@pytest.mark.long
@pytest.mark.parametrize("scope", telling(["level-1", "group.language"], "group.language"))
def test_a_planted_fifth_is_always_blocked(pool: Pool, scope: str) -> None:
    rng = np.random.default_rng(13)
    shares = pool.shares(pool.version(rng), pool.version(rng))
    classes = shares.loc[shares["scope"] == scope, "name"]
    chosen = classes.iloc[:: 1 if THOROUGH else 2 if scope == "group.language" else 16]
    for name in chosen:
        assert blocked(planted(shares, scope, str(name), 0.2)), name


@pytest.mark.long
def test_a_planted_fifth_is_blocked_in_a_first_version_too(pool: Pool) -> None:
    rng = np.random.default_rng(14)
    shares = pool.shares(pool.version(rng), pool.version(rng)).assign(previous=np.nan)
    for name in (f"c{number}" for number in range(0, CLUSTERS, 8 if THOROUGH else 24)):
        assert "follows_plan(level-1)" in blocked(planted(shares, "level-1", name, 0.2)), name


@pytest.mark.slow
def test_a_fifth_of_the_clusters_emptied_is_blocked(pool: Pool) -> None:
    rng = np.random.default_rng(15)
    for _ in range(20):
        shares = pool.shares(pool.version(rng), pool.version(rng))
        empty = rng.choice([f"c{number}" for number in range(CLUSTERS)], CLUSTERS // 5, replace=False)
        shares.loc[shares["name"].isin(empty), "after"] = 0.0
        assert "follows_plan(level-1)" in blocked(shares)


@pytest.mark.slow
def test_a_group_that_vanishes_is_blocked(pool: Pool) -> None:
    rng = np.random.default_rng(16)
    shares = pool.shares(pool.version(rng), pool.version(rng))
    groups = shares[(shares["scope"] == "group.language") & (shares["previous"] >= 20)]["name"]
    for name in groups:
        lost = shares.copy()
        lost.loc[lost["name"] == name, "after"] = 0.0
        assert "lost_groups(groups, previous)" in blocked(lost), name


@pytest.mark.parametrize("classes", telling([3, 10, 50], "3", "10"))
@pytest.mark.long
def test_a_planted_fifth_is_blocked_however_few_the_clusters(classes: int) -> None:
    sizes = zipf(classes, 200_000)
    even = filled(sizes, 6000)
    shares = tables()["shares"].iloc[:classes].assign(before=sizes, after=even, planned=even, previous=np.nan)
    assert not blocked(shares)
    for name in shares["name"]:
        assert blocked(planted(shares, "level-1", str(name), 0.2)), name
