"""The step `shared-rows`: the columns that many draws of one clustered pool read, decoded once and then mapped.

Trials of a mixture are drawn one after another from the same rows, each in several passes over them.
"""

from collections import Counter
from functools import partial

from pydantic import BaseModel, ConfigDict

from evenkeel.infra import storage
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.sample.candidates import OF_CLUSTERING, CandidateRows
from evenkeel.tasks.sample.inputs import SharedRowsInputs
from evenkeel.tasks.sample.mapped_rows import COUNTS, Written, write_columns
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload


class SharedRowsConfig(BaseModel):
    """Which columns of the candidate rows are read again and again, beside those of the clustering."""

    model_config = ConfigDict(frozen=True)

    columns: list[str]


def share_rows(config: SharedRowsConfig, inputs: SharedRowsInputs, out: StepFolder, run: Run) -> Outcome:
    """Write the columns of every block, and count the values of those of strings.

    A column with gaps is left to the pool. Raises RecipeError for a column that the pool does not have.
    """
    rows = CandidateRows.open(inputs.ingest, inputs.embed, inputs.cluster, str(run.scratch), inputs.signals)
    rows.check(config.columns)
    write = partial(_write_block, rows=rows, columns=tuple(config.columns), folder=out.uri)
    found = run.compute.map(write, rows.blocks, work=rows.pool.rows * 60)
    asked = dict.fromkeys([*OF_CLUSTERING, *config.columns])
    names = [name for name in asked if all(name in one.names for one in found)]
    coded = [name for name in names if name.startswith("group.")]
    counted = [name for name in coded if all(name in one.counts for one in found)]
    counts = {name: sum((one.counts[name] for one in found), Counter[str]()) for name in counted}
    storage.write_json(out.path(COUNTS), counts)
    return Outcome({"blocks": len(found)}, {"columns": names, "coded": coded})


def _write_block(block: str, rows: CandidateRows, columns: tuple[str, ...], folder: str) -> Written:
    return write_columns(folder, block, rows.table(block, columns))


def cost(config: SharedRowsConfig, work: Workload) -> float:
    """Return the CPU-seconds of decoding the columns of a pool."""
    return 0.05 + 2e-7 * work.rows * len(config.columns)


SHARED_ROWS = Step("shared-rows", 2, share_rows, cost=cost)
