"""The first rule that a text fails, as a tag: the reason beside the 0 of a preset of rules."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, JsonValue, ValidationError, model_validator

from evenkeel.tasks.signal.signal import SIGNALS, Fit
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.text.rules import PASSES
from evenkeel.tasks.signal.text.signals import RuleSignal, TextSignal, cost_of, read_failed, try_rules
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload


class FailedRule(TextSignal):
    """The first rule of a preset that a text fails, such as `wordlike_words < 50`; no tag where it passes."""

    kind: Literal["failed-rule"] = "failed-rule"
    tags = True
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
        """Return lists of one rule, null where a text passes or there is none."""
        failed = read_failed(block, fit)
        fails = failed > PASSES
        names = pa.array([str(rule) for rule in self.preset.rules()], pa.string())
        offsets = np.concatenate([[0], np.cumsum(fails)]).astype(np.int32)
        chosen = names.take(pa.array(failed[fails] - 1, pa.int32()))
        return pa.ListArray.from_arrays(pa.array(offsets), chosen, mask=pa.array(~fails))

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of the statistics that the rules read."""
        return cost_of({rule.statistic for rule in self.preset.rules()}, work)
