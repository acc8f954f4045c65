"""Count rows of exclusion and takedown lists that are in the version."""

import numpy as np
import pyarrow.compute as pc

from evenkeel.infra import storage
from evenkeel.infra.tables import read_table
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.validate.inputs import ValidateInputs


def excluded_rows_kept(inputs: ValidateInputs) -> int:
    """Return how many excluded rows are selected."""
    dropped = read_table(storage.join(inputs.dedup.uri, "dropped.parquet"), ["row_id", "kind"])
    excluded = dropped.filter(pc.equal(dropped["kind"], "excluded"))["row_id"].to_numpy()
    if not len(excluded):
        return 0
    return int(np.isin(Selection.open(inputs.sample).row_ids(), excluded, assume_unique=True).sum())
