"""Annotate the rows that are kept of a small pool, and return them as one table."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.columns import read_columns
from evenkeel.tasks.annotate.config import AnnotationRequest
from evenkeel.tasks.annotate.inputs import AnnotateInputs
from evenkeel.tasks.annotate.source import AnnotationSource
from evenkeel.tasks.annotate.step import ANNOTATE
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.strategies.random import Random
from evenkeel.tasks.step import Run
from tests.sample.pools import inputs_of, make_run, sampled

PARTS = ("ingest", "embed", "dedup", "cluster", "sample")
MEASURED = ("partition", "kernel_density", "tag_counts")


def annotated(
    done: Mapping[str, StepRef],
    folder: Path,
    *annotations: Annotation,
    config: SamplingConfig | None = None,
    run: Run | None = None,
    names: tuple[str, ...] = (),
) -> tuple[pa.Table, list[StepRef]]:
    """Sample a pool (all of it, without a config), annotate it, and return the kept rows, by row id, and the steps.

    names: columns of the pool that the table has too.
    """
    run = run or make_run(folder)
    config = config or SamplingConfig(target="100%", strategy=Random())
    steps = dict(done) if "sample" in done else {**done, "sample": sampled(config, done, run)}
    given = {name: ref for name, ref in steps.items() if "." in name or name in PARTS}
    found: dict[str, StepRef] = {}
    for one in annotations:
        measured: dict[str, StepRef] = {}
        for rule in one.strategies():
            asked = inputs_of(config.model_copy(update={"strategy": rule}), done, run)
            measured |= {name: ref for name, ref in asked.present().items() if name in MEASURED}
        follows = {f"annotations.{name}": ref for name, ref in found.items() if ref.facts["kind"] in one.follows()}
        inputs = AnnotateInputs.of({**given, **measured, **follows})
        found[one.label] = ANNOTATE(AnnotationRequest.of(one), inputs, run)
    source = AnnotationSource.open(AnnotateInputs.of(given), run.scratch, "tests")
    tables = []
    for block in source.blocks:
        table = source.kept(block, names)
        if (theirs := read_columns(found, block)) is not None:
            for name in theirs.column_names[1:]:
                table = table.append_column(name, theirs[name])
        tables.append(table)
    return pa.concat_tables(tables), list(found.values())
