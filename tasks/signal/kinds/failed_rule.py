"""The first rule that a text fails, as a group column: the reason beside the 0 of a preset of rules."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, JsonValue, ValidationError, model_validator

from evenkeel.tasks.signal.signal import SIGNALS, Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.text.rules import PASSES, UNKNOWN
from evenkeel.tasks.signal.text.signals import RuleSignal, TextSignal, cost_of, read_failed, try_rules
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload


class FailedRule(TextSignal):
    """The first rule of a preset that a text fails, as a group: `wordlike_words < 50`, or `passes`."""

    kind: Literal["failed-rule"] = "failed-rule"
    makes_group: ClassVar[bool] = True
    of: Literal["gopher-quality", "gopher-repetition", "c4", "fineweb"] = Field(description="The preset of rules.")
    options: dict[str, JsonValue] = Field({}, description="Options of the preset that differ from its defaults.")

    @model_validator(mode="after")
    def _has_options(self) -> "FailedRule":
        _ = self.preset
        return self

    @property
    def preset(self) -> RuleSignal:
        """The signal whose rules are tried."""
        kind = SIGNALS.get(self.of)
        assert issubclass(kind, RuleSignal)
        document = {**self.options, "kind": self.of, "name": self.name, "column": self.column}
        try:
            return kind.model_validate(document)
        except ValidationError as error:
            found = error.errors()[0]
            raise ValueError(f"options.{'.'.join(map(str, found['loc']))}: {found['msg']}") from error

    def fit(self, source: SignalSource, folder: str, run: Run) -> Mapping[str, object]:
        """Try the rules on every text; write which is the first that each fails, and return how many fail each."""
        return {"failed": try_rules(self.preset, source, folder, run)}

    def compute(self, source: SignalSource, block: str, fit: Fit) -> pa.Array:
        """Return the rule that each text fails first, or `passes`; null where there is no text."""
        failed = read_failed(block, fit)
        names = pa.array(["passes", *map(str, self.preset.rules())], pa.string())
        return names.take(pa.array(np.maximum(failed, PASSES), mask=failed == UNKNOWN))

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of the statistics that the rules read."""
        return cost_of({rule.statistic for rule in self.preset.rules()}, work)
