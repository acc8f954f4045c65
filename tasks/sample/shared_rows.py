"""The step `shared-rows`: the columns that many draws of one clustered pool read, decoded once and then mapped.

Trials of a mixture are drawn one after another from the same rows, each in several passes over them.
"""

from functools import partial

from pydantic import BaseModel, ConfigDict

from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.sample.candidates import OF_CLUSTERING, CandidateRows
from evenkeel.tasks.sample.inputs import SharedRowsInputs
from evenkeel.tasks.sample.mapped_rows import is_coded, write_columns
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload


class SharedRowsConfig(BaseModel):
    """Which columns of the candidate rows are read again and again, beside those of the clustering."""

    model_config = ConfigDict(frozen=True)

    columns: list[str]


def share_rows(config: SharedRowsConfig, inputs: SharedRowsInputs, out: StepFolder, run: Run) -> Outcome:
    """Write the columns of every block; one with gaps is left to the pool. Raises RecipeError for an unknown one."""
    rows = CandidateRows.open(inputs.ingest, inputs.embed, inputs.cluster, str(run.scratch), inputs.signals)
    rows.check(config.columns)
    write = partial(_write_block, rows=rows, columns=tuple(config.columns), folder=out.uri)
    found = run.compute.map(write, rows.blocks, work=rows.pool.rows * 60)
    names = [name for name in dict.fromkeys([*OF_CLUSTERING, *config.columns]) if all(name in one for one in found)]
    coded = [name for name in names if rows.blocks and found[0][name]]
    return Outcome({"blocks": len(found)}, {"columns": names, "coded": coded})


def _write_block(block: str, rows: CandidateRows, columns: tuple[str, ...], folder: str) -> dict[str, bool]:
    """Write the columns of a block; return the names of those that are there, and whether they are coded."""
    table = rows.table(block, columns)
    return {name: is_coded(table.schema.field(name).type) for name in write_columns(folder, block, table)}


def cost(config: SharedRowsConfig, work: Workload) -> float:
    """Return the CPU-seconds of decoding the columns of a pool."""
    return 0.05 + 2e-7 * work.rows * len(config.columns)


SHARED_ROWS = Step("shared-rows", 1, share_rows, cost=cost)
