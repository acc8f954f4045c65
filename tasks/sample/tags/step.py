"""The step `tag-counts`: how many rows every tag has, for strategies that balance by tags; once for a clustering."""

from functools import partial

from evenkeel.infra.tables import write_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.inputs import TagCountsInputs
from evenkeel.tasks.sample.tags.config import TagCountsConfig
from evenkeel.tasks.sample.tags.counts import SCHEMA, TagTally, merge_tallies, ranked, tally_block
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload


def count_tags(config: TagCountsConfig, inputs: TagCountsInputs, out: StepFolder, run: Run) -> Outcome:
    """Write a table `tag, count` for each signal, most frequent tags first.

    Raises RecipeError where a signal is missing or no tags.
    """
    rows = CandidateRows.open(inputs.ingest, inputs.embed, inputs.cluster, str(run.scratch), inputs.signals)
    over = tuple(config.over)
    rows.check([f"tags.{name}" for name in over])
    tally = run.compute.reduce(
        partial(tally_block, rows=rows, over=over), merge_tallies, rows.blocks, work=rows.pool.rows * 200
    ) or TagTally(tuple(SCHEMA.empty_table() for _ in over), (0,) * len(over), 0)
    facts: dict[str, object] = {}
    for name, table, having in zip(over, tally.tables, tally.rows, strict=True):
        counted = ranked(table)
        write_table(out.path(f"{name}.parquet"), counted)
        matches = int(counted["count"].to_numpy().sum())
        largest = int(counted["count"][0].as_py()) if len(counted) else 0
        facts[name] = {"tags": len(counted), "matches": matches, "rows": having, "largest": largest}
    return Outcome({"rows": tally.any_of}, {"signals": facts})


def cost(config: TagCountsConfig, work: Workload) -> float:
    """Return the CPU-seconds of counting the tags of a pool."""
    return 0.05 + 4e-6 * work.rows * len(config.over)


TAG_COUNTS = Step("tag-counts", 1, count_tags, cost=cost)
