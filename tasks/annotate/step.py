"""The annotate step: writes the columns of one annotation for every kept row, block by block."""

from functools import partial

import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.errors import StepError
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.columns import BESIDE, block_uri, schema_of
from evenkeel.tasks.annotate.config import AnnotationRequest
from evenkeel.tasks.annotate.inputs import AnnotateInputs
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload


def annotate(config: AnnotationRequest, inputs: AnnotateInputs, out: StepFolder, run: Run) -> Outcome:
    """Write the columns of an annotation: one file per block, `row_id uint64` and its own, kept rows by row id.

    Raises RecipeError for a column that the pool does not have, and for what cannot be met with the rows there are.
    """
    one = config.annotation
    source = AnnotationSource.open(inputs, run.scratch, one.label)
    source.check(one.columns())
    one.check(source)
    storage.remove(out.path("fit"))
    fit = Fit(out.path("fit"), str(run.scratch), one.fit(source, out.path("fit"), run))
    columns = one.writes()
    total = max(1, len(source.blocks))
    if columns:
        run.compute.map(
            partial(write_columns, one, source, fit, out.uri),
            source.blocks,
            work=source.pool.rows * 64,
            on_done=lambda done: run.progress(done / total, f"{one.label}: block {done} of {total}"),
        )
    for uri in storage.list_files(storage.join(out.path("fit"), BESIDE)):
        write_table(storage.join(out.uri, BESIDE, uri.rpartition("/")[2]), read_table(uri))
    storage.remove(out.path("fit"))
    facts = {"kind": one.kind, "columns": [list(column) for column in columns], **fit.facts}
    return Outcome({"rows": source.kept_rows}, facts)


def write_columns(one: Annotation, source: AnnotationSource, fit: Fit, out: str, block: str) -> int:
    """Compute and write the columns of the kept rows of a block; return their number."""
    schema = schema_of(one.writes())
    row_id = source.row_ids(block)
    found = dict(one.compute(source, block, fit))
    if [*found] != schema.names[1:] or any(len(values) != len(row_id) for values in found.values()):
        raise StepError(
            f"the annotation {one.label} has not one value a row",
            expected=f"{len(row_id):,} of {', '.join(schema.names[1:])}",
            found=", ".join(f"{len(values):,} of {name}" for name, values in found.items()),
        )
    columns = [pa.array(row_id), *(found[name].cast(schema.field(name).type) for name in schema.names[1:])]
    write_table(block_uri(out, block), pa.table(columns, schema=schema))
    return len(row_id)


def cost(config: AnnotationRequest, work: Workload) -> float:
    """Return the CPU-seconds of an annotation."""
    return config.annotation.cost(work)


def label(config: AnnotationRequest) -> str:
    """Return what the step is called where it runs for this annotation."""
    return f"annotate {config.annotation.label}"


ANNOTATE = Step("annotate", 1, annotate, cost=cost, label=label)
