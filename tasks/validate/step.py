"""The validate step: check the profile against the recipe's expectations and keep the results."""

import numpy as np
import numpy.typing as npt

from evenkeel.expectations.engine import evaluate
from evenkeel.expectations.expectation import UnknownScope
from evenkeel.expectations.result import Result, count_by_status
from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.workspace import StepFolder
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.properties.version_rows import VersionRows
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.validate.built_in import measure_built_in
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.excluded import excluded_rows_kept
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.near import near_duplicates_left
from evenkeel.tasks.validate.offenders import add_examples
from evenkeel.tasks.validate.results import RESULTS, write_results
from evenkeel.tasks.validate.scan import scan
from evenkeel.tasks.validate.stated import WHERE, measurable, measure_stated
from evenkeel.tasks.validate.tables import baselines, comparable_distances, shards, shares, totals
from evenkeel.tasks.workload import Workload


def validate(config: GatesConfig, inputs: ValidateInputs, out: StepFolder, run: Run) -> Outcome:
    """Check the profile and write `results.json`.

    A failed gate is a result, not an error: the facts hold `success`, `failed` and `warnings` (expectation, reason,
    offenders) and `skipped`, and the flow decides what to do.
    Raises RecipeError where an expectation names a level, a column or a pattern that the data does not have.
    """
    pool = Pool.open(inputs.ingest, run.scratch, inputs.signals)
    profile = Profile.open(inputs.measure)
    previous = Profile.open(inputs.previous) if inputs.previous is not None else None
    run.progress(0.05, "searching the version for near-duplicates, personal data and secrets")
    near = near_duplicates_left(
        inputs.sample,
        inputs.embed,
        pool,
        config.scan_rows,
        (config.near_duplicate_jaccard, config.near_duplicate_cosine),
        run,
    )
    expectations = config.expectations(inputs.sample.facts.get("goal", "balance"))
    run.progress(0.3, "scanning the version for stated properties")
    rows = VersionRows(pool, inputs.sample.uri, WHERE)
    scanned = measurable(expectations, rows) if pool.info.published else expectations
    clustering = inputs.cluster.uri if storage.exists(storage.join(inputs.cluster.uri, "rows")) else None
    stated = measure_stated(
        scanned, rows, clustering, Selection.open(inputs.sample).rows, out.path("scans"), config.examples > 0, run
    )
    facts, cells = inputs.sample.facts, Selection.open(inputs.sample).cells()
    of_classes = shares(profile, previous, _same_clusters(inputs), near, _planned(inputs), cells)
    favoured = facts.get("effective_sample_size")
    tables = {
        "patterns": scan(pool, inputs.sample, config.scan_rows, run),
        "shares": of_classes,
        "baselines": baselines(profile, of_classes, previous is not None),
        "totals": totals(profile, previous, _target(inputs), excluded_rows_kept(inputs), favoured),
        "shards": shards(pool),
        "joint": profile.joint,
        "distances": comparable_distances(profile.distances, previous is not None),
        "signals": profile.signal_bounds,
        "properties": stated,
        "built_in": measure_built_in(scanned, rows, Selection.open(inputs.sample).rows, config.scan_rows, run),
    }
    run.progress(0.4, f"checking {len(expectations)} expectations")
    try:
        results = evaluate(expectations, tables)
    except UnknownScope as error:
        raise RecipeError(
            "a gate names something that the data does not have",
            found=str(error),
            where=WHERE,
            remedy="correct the scope, or remove the expectation",
        ) from error
    results = add_examples(results, pool, inputs, config.examples)
    write_results(out.path(RESULTS), results)
    return _outcome(results)


def _outcome(results: list[Result]) -> Outcome:
    counts = {str(status): count for status, count in count_by_status(results).items()}
    facts = {
        "success": not counts["failed"],
        "failed": [_fact(one) for one in results if one.status == "failed"],
        "warnings": [_fact(one) for one in results if one.status == "warned"],
        "skipped": [f"{one.label}: {one.reason}" for one in results if one.status == "skipped"],
    }
    return Outcome(counts=counts, facts=facts)


def _fact(one: Result) -> dict[str, str | list[str]]:
    return {
        "expectation": one.label,
        "reason": f"{one.label}: {one.reason}",
        "sentence": one.sentence,
        "offenders": [f"{item.scope} {item.name}: {item.why}" for item in one.offenders[:3]],
    }


def _same_clusters(inputs: ValidateInputs) -> bool:
    if inputs.previous is None:
        return False
    now = inputs.cluster.facts.get("centroid_hash")
    return now is not None and now == inputs.previous.facts.get("centroid_hash")


def _planned(inputs: ValidateInputs) -> npt.NDArray[np.float64] | None:
    """Return the rows that the strategy planned for every leaf, (leaves,) float64, where it planned rows."""
    if inputs.sample.facts.get("unit", "rows") != "rows":
        return None
    quotas: npt.NDArray[np.float64] = Selection.open(inputs.sample).quotas()["quota"].to_numpy().astype(np.float64)
    return quotas


def _target(inputs: ValidateInputs) -> float | None:
    target = inputs.sample.counts.get("target")
    return None if target is None or not np.isfinite(target) else float(target)


def cost(config: GatesConfig, work: Workload) -> float:
    """Return the CPU-seconds of validating a selection."""
    return 1.3 + 6e-5 * min(work.kept, config.scan_rows)


VALIDATE = Step("validate", 9, validate, cost=cost)
