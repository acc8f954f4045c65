"""What a user may rely on: unbiased weights, and versions that differ only where they must."""

from pathlib import Path

import numpy as np

from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.selection import Selection
from tests.sample.pools import make_run, sampled, write_pool

LEAVES = 20


def lopsided(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    leaf = np.minimum(rng.geometric(0.15, rows) - 1, LEAVES - 1)
    centres = np.random.default_rng(99).normal(0, 4, (LEAVES, 6))
    return centres[leaf] + rng.normal(0, 0.3, (rows, 6)), leaf


def test_estimates_from_the_sample_lie_within_their_stated_error(tmp_path: Path) -> None:
    """95 % intervals by the Horvitz-Thompson variance of stratified sampling hold the truth in about 95 % of draws."""
    vectors, leaf = lopsided(1500, 1)
    value = vectors[:, 0] + 10
    inputs = write_pool(tmp_path / "pool", vectors, levels=[leaf], block_rows=2000)
    held = 0
    for seed in range(24):
        table = Selection.open(
            sampled(SamplingConfig(strategy="flat", target=300, seed=seed), inputs, make_run(tmp_path))
        )
        kept = table.table().to_pandas()
        kept["value"] = value[kept["row_id"].astype(int)]
        variance = 0.0
        for _, stratum in kept.groupby("leaf"):
            size, drawn = stratum["weight"].iloc[0] * len(stratum), len(stratum)
            if drawn > 1:
                variance += size * (size - drawn) / drawn * stratum["value"].var()
        error = abs((kept["weight"] * kept["value"]).sum() - value.sum())
        held += error <= 1.96 * np.sqrt(max(variance, 0))
    assert 19 <= held <= 24


def test_five_percent_new_rows_change_only_what_the_quotas_force(tmp_path: Path) -> None:
    vectors, leaf = lopsided(4000, 2)
    more, more_leaf = lopsided(200, 3)
    ids = [f"doc-{row}" for row in range(4200)]
    kept, quotas = [], []
    for name, rows in (("old", 4000), ("new", 4200)):
        inputs = write_pool(
            tmp_path / name,
            np.concatenate([vectors, more])[:rows],
            levels=[np.concatenate([leaf, more_leaf])[:rows]],
            ids=ids[:rows],
            block_rows=1000,
        )
        selection = Selection.open(sampled(SamplingConfig(strategy="flat", target=800), inputs, make_run(tmp_path)))
        kept.append({ids[row] for row in selection.row_ids().astype(int)})
        quotas.append(selection.quotas()["quota"].to_numpy())
    forced = np.maximum(quotas[0] - quotas[1], 0).sum()
    newcomers = len([row for row in kept[1] if int(row[4:]) >= 4000])
    gone = len(kept[0] - kept[1])
    assert gone <= forced + newcomers
    assert gone / len(kept[0]) < 0.08
    assert newcomers > 0
