"""Our expectations as Great Expectations classes, and a project of theirs that lives for one run.

Importing this module imports Great Expectations (seconds); `engine.py` does so only when a suite is run. The surface
used here - custom table metrics, `BatchExpectation`, renderers - is not officially supported; a contract test
watches it.
"""

import html
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import great_expectations as gx
import pandas as pd
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.validation_definition import ValidationDefinition
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.render import LegacyDiagnosticRendererType, LegacyRendererType
from great_expectations.render.components import RenderedStringTemplateContent, RenderedTableContent
from great_expectations.render.renderer.renderer import renderer

from evenkeel.expectations.data_docs import make_self_contained
from evenkeel.expectations.expectation import Expectation, NotApplicable, UnknownScope
from evenkeel.expectations.suites import EXPECTATIONS
from evenkeel.expectations.wording import printable

if TYPE_CHECKING:
    from evenkeel.expectations.engine import Result

NUMBER = "number"


class ProfileExpectation(BatchExpectation):  # type: ignore[misc]
    """A Great Expectations expectation whose verdict is that of one of ours; subclasses are made by `_classes`."""

    ours: ClassVar[type[Expectation]]

    @classmethod
    def is_abstract(cls) -> bool:
        return not hasattr(cls, "ours")

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> Any:
        found = metrics[self.metric_dependencies[0]]
        return {"success": found["success"], "result": {"observed_value": found["reason"], "details": found}}

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    def _prescriptive_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None, **_: Any
    ) -> list[RenderedStringTemplateContent]:
        configuration = configuration or result.expectation_config
        sentence = _restore(cls.ours, configuration.kwargs).sentence()
        return [_text(sentence[:1].upper() + sentence[1:])]

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.OBSERVED_VALUE)
    def _diagnostic_observed_value_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None, **_: Any
    ) -> str:
        return _safe(str(result.result.get("observed_value", "")))

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.UNEXPECTED_TABLE)
    def _diagnostic_unexpected_table_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None, **_: Any
    ) -> list[RenderedTableContent] | None:
        blame = result.result.get("details", {}).get("blame", [])
        if result.success or not blame:
            return None
        return [
            RenderedTableContent(
                content_block_type="table",
                header_row=["Scope", "To blame", "Why"],
                table=[[_safe(item["scope"]), _safe(item["name"]), _why(item)] for item in blame],
                styling={"body": {"classes": ["table-bordered", "table-sm", "mt-3"]}},
            )
        ]


class Project:
    """A temporary Great Expectations project: validates tables, then builds its Data Docs into `site`."""

    def __init__(self, folder: Path, site: Path | None) -> None:
        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        self.folder, self.site = folder, site
        self.outcomes: dict[str, ExpectationSuiteValidationResult] = {}
        self.context = gx.get_context(mode="file", project_root_dir=folder)
        self.context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self.source = self.context.data_sources.add_pandas("profile")

    def validate(
        self, name: str, table: pd.DataFrame, expectations: Mapping[int, Expectation]
    ) -> dict[int, dict[str, Any]]:
        """Return what was found by the number of the expectation; one that was dropped on the way is not there."""
        suite = ExpectationSuite(name=name)
        for number, one in expectations.items():
            suite.add_expectation(_translate(one, number))
        data = self.source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("profile")
        definition = ValidationDefinition(name=name, data=data, suite=self.context.suites.add(suite))
        definition = self.context.validation_definitions.add(definition)
        outcome = definition.run(batch_parameters={"dataframe": table}, result_format={"result_format": "COMPLETE"})
        self.outcomes[name] = outcome
        found = {}
        for result in outcome.results:
            raised = [info for info in _exceptions(result.exception_info) if info.get("raised_exception")]
            details = (
                {"error": str(raised[0].get("exception_message"))} if raised else dict(result.result.get("details", {}))
            )
            found[int(result.expectation_config.meta[NUMBER])] = details
        return found

    def write_docs(self, results: Sequence["Result"]) -> None:
        """Write the Data Docs of all validations so far, self-contained, with what `results` say, in their order."""
        if self.site is None:
            return
        statuses: dict[str, list[str]] = {name: [] for name in self.outcomes}
        store = self.context.validation_results_store
        for key in store.list_keys():
            name = key.expectation_suite_identifier.name
            for found in self.outcomes[name].results:
                result = results[int(found.expectation_config.meta[NUMBER])]
                statuses[name].append(result.status)
                if "details" in found.result:
                    found.result["details"]["blame"] = [item.model_dump(mode="json") for item in result.blame]
            store.set(key, self.outcomes[name])
        self.context.build_data_docs()
        built = self.folder / "gx" / "uncommitted" / "data_docs" / "local_site"
        make_self_contained(built, self.site, {name: _worst(found) for name, found in statuses.items()})


def _worst(statuses: Sequence[str]) -> str:
    """Return the verdict of a page: that of its loudest check."""
    return next((one for one in ("failed", "warned", "passed") if one in statuses), "skipped")


def _measure(one: Expectation, table: pd.DataFrame) -> dict[str, Any]:
    """Return the finding of one of our expectations as plain JSON."""
    try:
        found = one.measure(table)
    except NotApplicable as reason:
        return {"success": True, "reason": f"not checked: {reason}", "skipped": str(reason)}
    except UnknownScope as error:
        return {"success": False, "reason": str(error), "unknown": str(error)}
    return {
        "success": bool(one.holds(found)),
        "reason": one.reason(found),
        "value": found.value if math.isfinite(found.value) else None,
        "margin": found.margin,
        "limit": found.limit,
        "blame": [item.model_dump(mode="json") for item in found.blame],
    }


def _register(model: type[Expectation]) -> type[ProfileExpectation]:
    """Return the Great Expectations class of one of our models, its metric registered beside it."""
    name = str(model.model_fields["expect"].default)
    parameters = tuple(field for field in model.model_fields if field not in ("expect", "severity"))

    class Metric(TableMetricProvider):  # type: ignore[misc]
        metric_name = f"evenkeel.{name}"
        value_keys = parameters

        @metric_value(engine=PandasExecutionEngine)
        def _pandas(
            cls,  # noqa: N805
            execution_engine: Any,
            metric_domain_kwargs: Any,
            metric_value_kwargs: Any,
            metrics: Any,
            runtime_configuration: Any,
        ) -> dict[str, Any]:
            table, _, _ = execution_engine.get_compute_domain(
                domain_kwargs=metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE
            )
            return _measure(_restore(model, metric_value_kwargs), table)

    attributes: dict[str, Any] = {
        "__module__": __name__,
        "__doc__": model.__doc__,
        "__annotations__": {"ours": ClassVar[type[Expectation]], **dict.fromkeys(parameters, Any)},
        **dict.fromkeys(parameters),
        "ours": model,
        "metric_dependencies": (Metric.metric_name,),
        "success_keys": parameters,
        "args_keys": parameters,
    }
    title = "".join(part.capitalize() for part in name.split("_"))
    metaclass: Any = type(ProfileExpectation)
    made: type[ProfileExpectation] = metaclass(f"Expect{title}", (ProfileExpectation,), attributes)
    return made


CLASSES = {model: _register(model) for model in EXPECTATIONS}


def _translate(one: Expectation, number: int) -> ProfileExpectation:
    parameters = one.model_dump(mode="json", exclude={"expect", "severity"})
    severity = "critical" if one.severity == "block" else "warning"
    return CLASSES[type(one)](**parameters, severity=severity, meta={NUMBER: number})


def _restore(model: type[Expectation], parameters: Mapping[str, Any]) -> Expectation:
    return model(**{name: parameters[name] for name in model.model_fields if name in parameters and name != "severity"})


def _exceptions(info: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return the exception records of a result: one, or one per metric."""
    if not info:
        return []
    return [info] if "raised_exception" in info else [item for item in info.values() if isinstance(item, Mapping)]


def _text(words: str) -> RenderedStringTemplateContent:
    return RenderedStringTemplateContent(
        content_block_type="string_template",
        string_template={"template": _safe(words).replace("$", "$$"), "params": {}},
    )


def _why(item: Mapping[str, Any]) -> str:
    """Return why a culprit is one, and the rows that show it, as markup."""
    rows = [
        (f'<img src="{html.escape(row["thumbnail"])}" alt="Picture of the row">' if row["thumbnail"] else "")
        + _safe(row["text"])
        for row in item["examples"]
    ]
    return _safe(item["why"]) + "".join(f"<q>{row}</q>" for row in rows)


def _safe(words: str) -> str:
    """Return words that no page can misread: HTML escaped, control characters replaced."""
    return html.escape(printable(words))
