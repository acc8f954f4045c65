"""The small tables that expectations measure: the shards of the pool, the profiles of this and the last version."""

import numpy as np
import pandas as pd
import pyarrow as pa

from evenkeel.expectations.concerns.accounting import DISPOSITIONS
from evenkeel.expectations.measures import Counts, bootstrap_margin, normalised_entropy
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.measure.histograms import LAST
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.publish.redact import without_secrets


def shares(
    profile: Profile,
    previous: Profile | None,
    same_clusters: bool,
    near: "pd.Series[float] | None" = None,
    planned: Counts | None = None,
    cells: pa.Table | None = None,
) -> pd.DataFrame:
    """Return one row per cluster of every level and per value of every group column, with the last version's counts.

    scope category, name, before, after, previous float64 (null where there is nothing to compare with), radius,
    near_duplicate_rate and planned (null but for the leaves, where `near` and `planned` give them). Clusters are
    compared only where both versions have the same centroids. cells: of a strategy that has cells of its own; one row
    each in scope "cells".
    """
    clusters, groups = profile.clusters, profile.groups
    last = _last(clusters, previous.clusters if previous and same_clusters else None, ["level", "cluster"])
    of_clusters = _lines("level-", clusters, ("level", "cluster"), last)
    of_clusters["radius"] = clusters["radius"].astype(np.float64)
    leaves = clusters["level"].to_numpy() == 1
    if planned is not None:
        of_clusters.loc[leaves, "planned"] = planned
    if near is not None:
        of_clusters.loc[leaves, "near_duplicate_rate"] = near.reindex(clusters["cluster"][leaves]).to_numpy()
    parts = [of_clusters]
    if len(groups):
        last = _last(groups, previous.groups if previous else None, ["group", "value"])
        parts.append(_lines("group.", groups, ("group", "value"), last))
        if previous is not None:
            gone = _gone(groups, previous.groups)
            parts.append(_lines("group.", gone.assign(before=0.0, after=0.0), ("group", "value"), gone["after"]))
    if cells is not None:
        of_cells = cells.rename_columns(["cell", "before", "planned", "after"]).to_pandas().assign(all="cells")
        parts.append(_lines("", of_cells, ("all", "cell"), np.full(len(of_cells), np.nan)))
        parts[-1]["planned"] = of_cells["planned"].astype(np.float64)
    table = pd.concat(parts, ignore_index=True)
    table["scope"] = table["scope"].astype("category")
    return table


def comparable_distances(distances: pd.DataFrame, alike: bool) -> pd.DataFrame:
    """Return the distances that gates may read; alike: whether the last version was sampled by the same settings."""
    return distances if alike or distances.empty else distances[distances["to"] != LAST]


def _lines(
    prefix: str, rows: pd.DataFrame, keys: tuple[str, str], previous: "Counts | pd.Series[float]"
) -> pd.DataFrame:
    """Return one line of `shares` per row of a table of clusters or groups; what only leaves have is null."""
    return pd.DataFrame(
        {
            "scope": prefix + rows[keys[0]].astype(str),
            "name": rows[keys[1]].astype(object),
            "before": rows["before"].astype(np.float64),
            "after": rows["after"].astype(np.float64),
            "radius": np.nan,
            "near_duplicate_rate": np.nan,
            "planned": np.nan,
            "previous": previous,
        }
    )


def baselines(profile: Profile, shares: pd.DataFrame, previous: bool) -> pd.DataFrame:
    """Return the balance of every scope and stage, and `noise`: what sampling does to the entropies of two versions.

    shares: what `shares` returns. previous: whether the last version is compared with. The noise is that of one draw by
    the bootstrap, times the root of two.
    """
    balance = profile.balance if previous else profile.balance.query("stage != 'previous'")
    counts = {scope: rows["after"].to_numpy() for scope, rows in shares.groupby("scope", observed=True)}
    noise = {
        scope: 2**0.5 * bootstrap_margin(normalised_entropy, counts[scope]) if counts[scope].sum() else 0.0
        for scope in balance["scope"].unique()
        if scope in counts
    }
    return balance.assign(noise=balance["scope"].map(noise).astype(np.float64))


def totals(
    profile: Profile,
    previous: Profile | None,
    target: float | None,
    excluded_kept: int | None,
    effective_sample_size: float | None = None,
) -> pd.DataFrame:
    """Return one row: rows by disposition, copies, target, excluded rows kept, weights, and inertia now and last time.

    effective_sample_size: of the strategy's weights, as a share of the rows to keep; None without weights.
    """
    row: dict[str, float] = {name: int(profile.totals[name].iloc[0]) for name in ("read", "copies", *DISPOSITIONS)}
    row["target"] = np.nan if target is None else float(target)
    row["excluded_kept"] = np.nan if excluded_kept is None else float(excluded_kept)
    row["effective_sample_size"] = np.nan if effective_sample_size is None else effective_sample_size
    row["inertia"] = inertia(profile)
    row["previous_inertia"] = np.nan if previous is None else inertia(previous)
    row["previous_read"] = np.nan if previous is None else float(previous.totals["read"].iloc[0])
    return pd.DataFrame([row])


def shards(pool: Pool) -> pd.DataFrame:
    """Return one row per shard: uri, rows read, rows quarantined, reason ("" where it was read).

    Passwords and signatures in a URI are left out: results are published.
    """
    columns = ["uri", "rows", "quarantined", "reason"]
    lines = [{**shard.model_dump(include=set(columns)), "uri": without_secrets(shard.uri)} for shard in pool.shards]
    return pd.DataFrame(lines, columns=columns)


def inertia(profile: Profile) -> float:
    """Return the mean squared distance of a pool row to its leaf's centroid."""
    leaves = profile.clusters[profile.clusters["level"] == 1]
    rows = leaves["before"].to_numpy(np.float64)
    squared = leaves["radius"].to_numpy(np.float64) ** 2
    return float((rows * squared).sum() / rows.sum()) if rows.sum() else float("nan")


def _last(now: pd.DataFrame, last: pd.DataFrame | None, keys: list[str]) -> Counts:
    if last is None or not len(last):
        return np.full(len(now), np.nan)
    found = now[keys].merge(last[[*keys, "after"]], on=keys, how="left")["after"]
    counts: Counts = found.fillna(0).to_numpy(np.float64)
    return counts


def _gone(now: pd.DataFrame, last: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last version's groups whose value this pool does not have."""
    merged = last.merge(now[["group", "value"]], on=["group", "value"], how="left", indicator=True)
    return merged[(merged["_merge"] == "left_only") & merged["group"].isin(now["group"].unique())]
