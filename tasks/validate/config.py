"""Settings of the validate step: what a version must pass to be published, which is the recipe's `gates`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from evenkeel.expectations.concerns.built_in import by_its_name, from_suite
from evenkeel.expectations.concerns.fairness import MetricByGroup
from evenkeel.expectations.concerns.properties import Holds
from evenkeel.expectations.expectation import EXPECTATIONS, Expectation
from evenkeel.expectations.goals import Goal
from evenkeel.expectations.suites import SuiteName, automatic, change, present_name, remove, suite
from evenkeel.infra import storage
from evenkeel.infra.errors import RecipeError, StorageError
from evenkeel.infra.registry import MemberOf
from evenkeel.tasks.expression.consistency import refuse_contradictions
from evenkeel.tasks.expression.property import parse_metric, parse_property

WHERE = "gates"
Name = Annotated[str, AfterValidator(present_name)]


def _with_present_name(document: object) -> object:
    """Accept an expectation under a former name, and one of Great Expectations by its own."""
    document = by_its_name(document)
    if isinstance(document, dict) and isinstance(document.get("expect"), str):
        return {**document, "expect": present_name(document["expect"])}
    return document


class Change(BaseModel):
    """A new value for one parameter of an expectation of the suite."""

    model_config = ConfigDict(extra="forbid")

    expectation: Name = Field(
        description="Its name, or where a suite has several its label: coverage, or psi(level-1, previous).",
        min_length=1,
    )
    parameter: str = Field(description="at_least, at_most, tolerance, severity, ...", min_length=1)
    value: float | str | list[str] = Field(description="A number; warn or block for severity.")


def _as_list(changes: object) -> object:
    """Accept `{coverage: {at_least: 0.9}}` for `[{expectation: coverage, parameter: at_least, value: 0.9}]`."""
    if not isinstance(changes, dict):
        return changes
    unlike = [name for name, values in changes.items() if not isinstance(values, dict)]
    if unlike:
        raise ValueError(f"expected {{{unlike[0]}: {{parameter: value}}}}")
    return [
        {"expectation": name, "parameter": parameter, "value": value}
        for name, values in changes.items()
        for parameter, value in values.items()
    ]


class GatesConfig(BaseModel):
    """A named suite of expectations, what to change in it, what to add to it, and who must approve."""

    model_config = ConfigDict(extra="forbid")

    suite: SuiteName = Field(
        "auto",
        description="auto = what suits the strategy: evenness where it balances, else its plan, weights or target; "
        "default = evenness whatever the strategy; strict = tighter, and balance in absolute terms; first-version = no "
        "last version.",
    )
    change: Annotated[list[Change], BeforeValidator(_as_list)] = Field(
        default_factory=list,
        description="Parameters to change; in YAML also {coverage: {at_least: 0.9, severity: warn}}.",
    )
    add: list[Annotated[Expectation, MemberOf(EXPECTATIONS), BeforeValidator(_with_present_name)]] = Field(
        default_factory=list,
        description="Expectations to add: [{expect: allowed_values, scope: group.licence, allowed: [MIT]}].",
    )
    suite_file: str | None = Field(
        None,
        description="A suite of Great Expectations as a JSON file, whose expectations are added; once it is read, they "
        "stand in `add`.",
    )
    remove: list[Name] = Field(default_factory=list, description="Expectations of the suite to leave out, by name.")
    examples: int = Field(
        3, ge=0, le=20, description="Example rows shown for each cluster or group that breaks a check."
    )
    scan_rows: int = Field(
        100_000,
        ge=0,
        description="Rows of the version that are searched for near-duplicates, e-mail, phone and secrets; 0 = none.",
    )
    near_duplicate_jaccard: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Jaccard similarity of word n-grams from which two texts of a cluster are near-duplicates.",
    )
    near_duplicate_cosine: float = Field(
        0.95, gt=0, le=1, description="The same by cosine of the vectors, where there are no texts."
    )
    approval: Literal["none", "required"] = Field(
        "none", description="required: the run waits for a person after the gates have passed."
    )
    approval_hours: float = Field(72, gt=0, le=8760, description="How long it waits; then the run fails.")

    @model_validator(mode="before")
    @classmethod
    def _with_suite_file(cls, document: object) -> object:
        """Add the expectations of a suite file, which is read once: what was read is what is recorded."""
        if not isinstance(document, dict) or document.get("suite_file") is None:
            return document
        place = document["suite_file"]
        try:
            listed = from_suite(storage.read_json(str(place)))
        except (OSError, StorageError, ValueError) as error:
            raise ValueError(f"suite_file: {place} cannot be read as a suite of Great Expectations: {error}") from error
        return {**document, "suite_file": None, "add": [*document.get("add", ()), *listed]}

    @model_validator(mode="after")
    def _composes(self) -> "GatesConfig":
        stated = [one.property for one in self.expectations() if isinstance(one, Holds)]
        try:
            refuse_contradictions([parse_property(text, WHERE) for text in dict.fromkeys(stated)], WHERE)
            for one in self.expectations():
                if isinstance(one, MetricByGroup):
                    parse_metric(one.metric, WHERE)
        except RecipeError as error:
            raise ValueError("; ".join(part for part in (error.message, error.found, error.remedy) if part)) from error
        return self

    def expectations(self, goal: Goal | None = None) -> list[Expectation]:
        """Return what is checked, in order. Raises ValueError for an unknown name or a threshold out of range.

        goal: of the strategy, which the suite `auto` goes by; None = all that `auto` may ask for. An expectation of
        `auto` that `change` names is asked for whatever the goal.
        """
        changes: dict[str, dict[str, object]] = {}
        for one in self.change:
            changes.setdefault(one.expectation, {})[one.parameter] = one.value
        composed = change(remove(automatic() if self.suite == "auto" else suite(self.suite), self.remove), changes)
        if self.suite == "auto" and goal is not None:
            asked = {one.label for one in suite("auto", goal)} | changes.keys()
            composed = [one for one in composed if one.label in asked or one.expect in asked]
        return composed + list(self.add)
