"""Count rows of exclusion and takedown lists that are in the version."""

import numpy as np
import pyarrow.compute as pc

from evenkeel.tasks.dedup.ledger import read_ledger
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.validate.inputs import ValidateInputs


def excluded_rows_kept(inputs: ValidateInputs) -> int:
    """Return how many excluded rows are selected."""
    parts = (table.filter(pc.equal(table["kind"], "excluded")) for table in read_ledger(inputs.dedup.uri))
    excluded = np.concatenate([np.empty(0, np.uint64), *(part["row_id"].to_numpy() for part in parts)])
    if not len(excluded):
        return 0
    return int(np.isin(Selection.open(inputs.sample).row_ids(), excluded, assume_unique=True).sum())
