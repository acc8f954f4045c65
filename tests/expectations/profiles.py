"""Small profile tables with a long tail, as a well-balanced version leaves them."""

from typing import Any

import numpy as np
import pandas as pd

from evenkeel.expectations.measures import attainable

CLUSTERS, GROUPS, TARGET = 400, 40, 8000


def zipf(classes: int, rows: float) -> np.ndarray:
    """Return counts (classes,) that fall as one over the rank and add up to about `rows`."""
    weights = 1 / np.arange(1, classes + 1)
    return np.asarray(np.maximum(1, np.round(rows * weights / weights.sum())))


def filled(sizes: np.ndarray, rows: int) -> np.ndarray:
    """Return whole rows per class (k,): water-filling, the rest one each to the largest."""
    counts = np.floor(attainable(sizes, rows))
    room = np.flatnonzero(counts < sizes)[: int(rows - counts.sum())]
    counts[room] += 1
    return counts


def tables(**changes: Any) -> dict[str, pd.DataFrame]:
    """Return every table of a good version with a good predecessor; `shares=frame` and the like replace one."""
    before = zipf(CLUSTERS, 80_000)
    after = filled(before, TARGET)
    clusters = pd.DataFrame(
        {
            "scope": "level-1",
            "name": [str(number) for number in range(CLUSTERS)],
            "before": before,
            "after": after,
            "planned": after,
            "previous": after,
            "radius": 0.5,
            "near_duplicate_rate": 0.01,
        }
    )
    languages = zipf(GROUPS, 80_000)
    groups = pd.DataFrame(
        {
            "scope": "group.language",
            "name": [f"lang-{number:02d}" for number in range(GROUPS)],
            "before": languages,
            "after": np.round(languages / 10),
            "planned": np.nan,
            "previous": np.round(languages / 10),
            "radius": np.nan,
            "near_duplicate_rate": np.nan,
        }
    )
    cells = pd.DataFrame({"scope": "cells", "name": [str(number) for number in range(4)], "before": 20_000.0})
    cells = cells.assign(after=TARGET / 4, planned=TARGET / 4)
    stages = {"before": 0.8, "random": 0.81, "flat": 0.99, "top-down": 0.9, "previous": 0.985, "after": 0.99}
    found = {
        "shares": pd.concat([clusters, groups, cells], ignore_index=True),
        "baselines": pd.DataFrame(
            [
                {"scope": scope, "stage": name, "entropy": entropy, "noise": 0.005}
                for scope in ("level-1", "group.language")
                for name, entropy in stages.items()
            ]
        ),
        "totals": pd.DataFrame(
            [
                {
                    "read": 82_000,
                    "kept": TARGET,
                    "copies": TARGET,
                    "deduplicated": 1500,
                    "not_sampled": 72_400,
                    "quarantined": 100,
                    "target": TARGET,
                    "excluded_kept": 0.0,
                    "made": 0,
                    "effective_sample_size": 1.0,
                    "inertia": 0.25,
                    "previous_inertia": 0.25,
                    "previous_read": 80_000.0,
                }
            ]
        ),
        "shards": pd.DataFrame(
            [{"uri": f"s3://pool/{n}.parquet", "rows": 20_475, "quarantined": 25, "reason": ""} for n in range(4)]
        ),
        "distances": pd.DataFrame(
            [
                {"to": to, "by": by, "pool": 0.4, "random": 0.4, "after": 0.1, "bound": 0.4}
                for to in ("target", "pool", "last-version")
                for by in ("mmd", "frechet", "transport", "kl")
            ]
        ),
        "signals": pd.DataFrame(
            [
                {"name": "quality", "by": "group.language", "value": f"lang-{n:02d}", "below": below, "above": np.nan}
                for below in (np.nan, 0.2)
                for n in range(GROUPS)
            ]
        ).assign(
            **{f"{of}rows": 200 for of in ("", "pool_")},
            **{f"{of}missing": 2 for of in ("", "pool_")},
            **{f"{of}mean": 0.5 for of in ("", "pool_")},
            **{f"{of}deviation": 0.1 for of in ("", "pool_")},
            **{f"{of}beyond": 4 for of in ("", "pool_")},
        ),
        "joint": pd.DataFrame(
            [
                {"scope": "group.style", "given": given, "concept": f"c{concept}", "attribute": f"a{attribute}"}
                for given in ("group.language", "tags.words")
                for concept in range(8)
                for attribute in range(4)
            ]
        ).assign(before=100, after=50),
        "properties": pd.DataFrame(
            [
                {"key": key, "unit": unit, "checked": 100, "broken": 0, "counterexamples": []}
                for key, unit in (
                    ("length > 0", "row"),
                    ('covers {"x": 10} grid 1', "cell"),
                    ("zip -> city", "row"),
                    ("unique id", "row"),
                    ("near-misses of city, ratio 20", "row"),
                )
            ]
            + [
                {"key": key, "unit": "group", "names": ["f", "m"], "rows": [100, 200], "means": [[0.8], [0.9]]}
                for key in ("mean(correct) by sex", "selection of sampling by sex")
            ]
        ),
        "built_in": pd.DataFrame(
            [
                {
                    "key": 'expect_column_values_to_not_be_null {"column": "city"}',
                    "success": True,
                    "by_row": True,
                    "elements": 100,
                    "missing": 0,
                    "unexpected": 0,
                    "observed": "",
                    "error": "",
                    "where": "on all 100 rows of the version, block by block",
                    "unexpected_rows": [],
                }
            ]
        ),
        "patterns": pd.DataFrame(
            [
                {
                    "column": "text",
                    "pattern": name,
                    "rows": TARGET,
                    "hits": 2,
                    "examples": ["row 1: abc… (9 characters)"],
                }
                for name in ("email", "phone", "secret")
            ]
        ),
    }
    return {**found, **changes}


def changed(column: str, name: str, value: float, scope: str = "level-1") -> dict[str, pd.DataFrame]:
    """Return the tables with one cell of `shares` changed."""
    shares = tables()["shares"]
    shares.loc[(shares["scope"] == scope) & (shares["name"] == name), column] = value
    return tables(shares=shares)


def totals(**values: float) -> dict[str, pd.DataFrame]:
    """Return the tables with some totals changed."""
    return tables(totals=tables()["totals"].assign(**values))


def planted(shares: pd.DataFrame, scope: str, name: str, share: float, column: str = "after") -> pd.DataFrame:
    """Return `shares` with `share` of the version's rows taken evenly from all classes of a scope and given to one."""
    found = shares.copy()
    here = found["scope"] == scope
    rows = found.loc[here, column].sum()
    found.loc[here, column] = found.loc[here, column] * (1 - share)
    found.loc[here & (found["name"] == name), column] += share * rows
    return found
