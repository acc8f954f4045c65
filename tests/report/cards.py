"""Finished report steps to look at."""

from collections.abc import Mapping
from dataclasses import dataclass

from evenkeel.infra import storage
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.report.config import PastVersion, ReportConfig
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.step import REPORT
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.step import VALIDATE
from tests.validate.pools import HOSTILE, Curated, as_previous

RELAXED: dict[str, object] = {"change": {"pattern_rate": {"severity": "warn"}}}


@dataclass(frozen=True)
class Card:
    """What a report step wrote, and the validate step before it."""

    ref: StepRef
    checks: StepRef

    @property
    def html(self) -> str:
        return storage.read_bytes(storage.join(self.ref.uri, "card.html")).decode()

    @property
    def summary(self) -> str:
        return storage.read_bytes(storage.join(self.ref.uri, "card.md")).decode()

    @property
    def readme(self) -> str:
        return storage.read_bytes(storage.join(self.ref.uri, "README.md")).decode()


def first_card(curated: Curated) -> Card:
    """Return the card of a first version that passed."""
    return card_of(
        curated, RELAXED, ReportConfig(dataset="topics", version=1, location="s3://curated/topics/versions/a")
    )


def blocked_card(curated: Curated) -> Card:
    """Return the card of a fifth version that is blocked, with four before it and a hostile recipe."""
    history = [
        PastVersion(
            version=n, rows=280 + n, folder=f"run-{n}", metrics={"entropy_before": 0.8, "entropy_after": 0.9 + n / 100}
        )
        for n in range(1, 5)
    ]
    config = ReportConfig(
        dataset="topics", version=5, recipe={"dataset": "topics", "note": HOSTILE}, history=history, price_per_hour=3.6
    )
    gates = {"add": [{"expect": "smallest_share", "scope": "group.language", "at_least": 0.2}]}
    return card_of(curated, gates, config, previous=as_previous(curated))


def card_of(curated: Curated, gates: Mapping[str, object], config: ReportConfig, **more: StepRef) -> Card:
    """Return the card of a curated pool; `more`: other finished steps, such as previous and stage."""
    inputs = {**curated.done, **more}
    if "previous" in more:
        inputs["measure"] = MEASURE(MeasureConfig(), MeasureInputs.of(inputs), curated.run)
    inputs["validate"] = VALIDATE(GatesConfig.model_validate(gates), ValidateInputs.of(inputs), curated.run)
    return Card(REPORT(config, ReportInputs.of(inputs), curated.run), inputs["validate"])
