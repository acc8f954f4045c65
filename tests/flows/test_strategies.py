"""Every strategy and every order goes the whole way: a version whose rows are the target and whose fates add up."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.expectations.concerns.accounting import DISPOSITIONS
from evenkeel.flows.curate import curate
from evenkeel.flows.recipe import parse
from evenkeel.tasks.sample.strategy import STRATEGIES
from tests.flows.conftest import write_shards

OPTIONS: dict[str, dict[str, Any]] = {
    "uniform": {"groups": ["topic"]},
    "proportional": {"groups": ["topic"]},
    "stratified": {"groups": ["topic"]},
    "subclass": {"group": "topic"},
    "tree": {"columns": ["topic"]},
    "entries": {"over": ["topics"]},
    "metaclip": {"concepts": ["about 1", "about 2", "about 11", "note"]},
    "quality": {"scores": {"score": 1.0}},
    "to-label": {"rule": "clusters", "labels": ""},
    "weighted": {"by": "score"},
}
NAMES = [
    name
    for name, model in sorted(STRATEGIES.ours().items())
    if name in OPTIONS or not any(field.is_required() for field in model.model_fields.values())
]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("prefect_server")
def test_every_strategy_and_order_publishes_what_it_was_asked_for(document: dict[str, Any], tmp_path: Any) -> None:
    for shard in sorted(write_shards(tmp_path / "pool").glob("*.parquet")):
        table = pq.read_table(shard)
        score = np.random.default_rng(0).random(len(table))
        pq.write_table(table.append_column("score", pa.array(score)), shard)
    document["source"]["scores"] = ["score"]
    document["entries"] = [{"name": "topics", "column": "topic"}]
    (tmp_path / "target.txt").write_text("note about 1\n")
    document["target_set"] = {"uri": str(tmp_path / "target.txt"), "leak": "allowed"}
    wanted: list[dict[str, Any]] = [{"strategy": {"name": name, **OPTIONS.get(name, {})}} for name in NAMES]
    wanted += [{"order": order, "score": "score"} for order in ("closest", "furthest", "score", "diverse")]
    for sampling in wanted:
        document["sampling"] = {"target": 240, **sampling}
        found = curate(parse(document))
        totals, rows = found["totals"], pd.read_parquet(found["data"])
        assert totals["read"] == sum(totals[fate] for fate in DISPOSITIONS)
        assert totals["kept"] == len(rows) == rows["id"].nunique(), sampling
        exact = sampling.get("strategy", {}).get("name") not in ("cluster-clip", "cooldown", "metaclip")
        assert not exact or len(rows) == 240, (sampling, len(rows))
        assert 0 < len(rows) <= 1200
