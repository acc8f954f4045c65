"""The card says how near the version is to its target, and whether it is further from the last than noise brings it."""

import pandas as pd

from evenkeel.tasks.report.distances import pictures, title


def lines(to: str, pool: float | None, after: float, bound: float | None) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"to": to, "by": by, "pool": pool, "random": 0.5, "after": after * scale, "bound": bound}
            for by, scale in (("mmd", 1.0), ("kl", 2.0))
        ]
    )


def test_what_the_distances_say() -> None:
    near, still = lines("target", 1.0, 0.2, 0.9), lines("last-version", 0.5, 0.01, 0.04)
    moved, of_pool = lines("last-version", 0.5, 0.06, 0.04), lines("pool", None, 0.3, 0.1)
    assert title(pd.concat([near, still])) == "At 20\xa0% to 40\xa0% of the pool's distance to the target"
    assert title(pd.concat([of_pool, still])) == "No further from the last version than two draws of one set are"
    assert title(moved) == "3.0 times as far from the last version as sampling noise brings it"
    assert title(of_pool) == title(pd.DataFrame()) == ""
    assert title(lines("target", 0.0, 0.0, None)) == ""


def test_a_picture_for_each_that_was_measured() -> None:
    everything = pd.concat([lines("target", 1.0, 0.2, 0.9), lines("pool", None, 0.3, 0.1)])
    to_target, from_pool = pictures(everything)
    assert to_target.rows == [["mmd", "1", "0.5", "0.2"], ["kl", "1", "0.5", "0.4"]]
    assert from_pool.rows[0] == ["mmd", "0.3", "0.1", "3"]
    assert [kind for kind, _ in to_target.svgs] == ["wide", "narrow"]
    assert [figure.title for figure in pictures(lines("last-version", 0.5, 0.01, None))] == []
    assert pictures(pd.DataFrame()) == []
