"""Count the rows of exclusion and takedown lists that are in the version all the same."""

from collections.abc import Mapping

import numpy as np
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.sample.selection import Selection


def excluded_rows_kept(inputs: Mapping[str, StepRef]) -> int | None:
    """Return how many excluded rows are selected, or None where dedup or sample is not among the inputs."""
    if "dedup" not in inputs or "sample" not in inputs:
        return None
    dropped = read_table(storage.join(inputs["dedup"].uri, "dropped.parquet"), ["row_id", "kind"])
    excluded = dropped.filter(pc.equal(dropped["kind"], "excluded"))["row_id"].to_numpy()
    if not len(excluded):
        return 0
    return int(np.isin(Selection.open(inputs["sample"]).row_ids(), excluded, assume_unique=True).sum())
