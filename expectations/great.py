"""Our expectations as classes of Great Expectations, and the evaluation of a suite by that library.

Importing this module imports Great Expectations (seconds); `engine.py` does so only when a suite is run. What is used
here - custom table metrics and `BatchExpectation` - is not officially supported; a contract test watches it.
"""

import logging
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import ClassVar

import great_expectations as gx
import pandas as pd
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.exceptions import GreatExpectationsError
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from evenkeel.expectations.expectation import Expectation, NotApplicable, UnknownScope
from evenkeel.expectations.result import Finding

NUMBER = "number"


class ProfileExpectation(BatchExpectation):  # type: ignore[misc]
    """An expectation of the library whose verdict is that of one of ours; subclasses are made by `_class_of`."""

    ours: ClassVar[type[Expectation]]

    @classmethod
    def is_abstract(cls) -> bool:
        return not hasattr(cls, "ours")

    def _validate(
        self,
        metrics: Mapping[str, Finding],
        runtime_configuration: object = None,
        execution_engine: object = None,
    ) -> dict[str, object]:
        finding = metrics[self.metric_dependencies[0]]
        return {
            "success": finding.success or bool(finding.skipped),
            "result": {"observed_value": finding.reason, "finding": finding},
        }


def find(expectations: Sequence[Expectation], tables: Mapping[str, pd.DataFrame]) -> dict[int, Finding]:
    """Return what was found, by the place of the expectation; one that the library dropped is not there."""
    for name in ("great_expectations", "great_expectations.data_context.types.base"):  # which sets a level of its own
        logging.getLogger(name).setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("profile")
    findings: dict[int, Finding] = {}
    for name in sorted({one.table for one in expectations}):
        numbered = {number: one for number, one in enumerate(expectations) if one.table == name}
        suite = ExpectationSuite(name=name, expectations=[_translate(one, number) for number, one in numbered.items()])
        whole = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("profile")
        try:
            validated = whole.get_batch({"dataframe": tables[name]}).validate(suite, result_format="COMPLETE")
        except GreatExpectationsError as error:
            findings |= dict.fromkeys(numbered, Finding(error=str(error)))
            continue
        for result in validated.results:
            findings[int(result.expectation_config.meta[NUMBER])] = _finding_of(result)
    return findings


def _finding_of(result: ExpectationValidationResult) -> Finding:
    """Return the finding that a result of the library carries, or what was raised on the way."""
    for record in _exceptions(result.exception_info or {}):
        if record.get("raised_exception"):
            return Finding(error=str(record.get("exception_message")))
    return Finding.model_validate(result.result["finding"])


def _exceptions(info: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the exception records of a result: one, or one per metric."""
    records = [info] if "raised_exception" in info else info.values()
    yield from (record for record in records if isinstance(record, Mapping))


def measure(one: Expectation, table: pd.DataFrame) -> Finding:
    """Return what one of our expectations finds in its table."""
    try:
        found = one.measure(table)
    except NotApplicable as reason:
        return Finding(skipped=str(reason))
    except UnknownScope as error:
        return Finding(unknown=str(error))
    return Finding(
        success=bool(one.holds(found)),
        reason=one.reason(found),
        value=found.value if math.isfinite(found.value) else None,
        margin=found.margin,
        limit=found.limit,
        offenders=tuple(found.offenders),
    )


@lru_cache
def _class_of(model: type[Expectation]) -> type:
    """Return the library's class for one of our models, its metric registered beside it."""
    name = str(model.model_fields["expect"].default)
    parameters = tuple(field for field in model.model_fields if field not in ("expect", "severity"))

    class Metric(TableMetricProvider):  # type: ignore[misc]
        metric_name = f"evenkeel.{name}"
        value_keys = parameters

        @metric_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
        def _pandas(
            cls,  # noqa: N805
            execution_engine: PandasExecutionEngine,
            metric_domain_kwargs: Mapping[str, object],
            metric_value_kwargs: Mapping[str, object],
            metrics: Mapping[str, object],
            runtime_configuration: Mapping[str, object],
        ) -> Finding:
            table, _, _ = execution_engine.get_compute_domain(
                domain_kwargs=metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE
            )
            given = {field: metric_value_kwargs[field] for field in parameters if field in metric_value_kwargs}
            return measure(model.model_validate(given), table)

    attributes: dict[str, object] = {
        "__module__": __name__,
        "__doc__": model.__doc__,
        "__annotations__": {"ours": ClassVar[type[Expectation]], **dict.fromkeys(parameters, object)},
        **dict.fromkeys(parameters),
        "ours": model,
        "metric_dependencies": (Metric.metric_name,),
        "success_keys": parameters,
        "args_keys": parameters,
    }
    title = "".join(part.capitalize() for part in name.split("_"))
    return types.new_class(f"Expect{title}", (ProfileExpectation,), exec_body=lambda space: space.update(attributes))


def _translate(one: Expectation, number: int) -> ProfileExpectation:
    """Return the library's expectation for one of ours; its number tells the result apart."""
    parameters = one.model_dump(mode="json", exclude={"expect", "severity"})
    severity = "critical" if one.severity == "block" else "warning"
    made: ProfileExpectation = _class_of(type(one))(**parameters, severity=severity, meta={NUMBER: number})
    return made
