"""How many e-mail addresses, phone numbers, account and card numbers, keys and tokens a text has."""

from typing import Literal

from pydantic import Field

from evenkeel.tasks.signal.signal import Fit, Numbers
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.text.signals import TextSignal
from evenkeel.tasks.workload import Workload

MEGABYTES_A_SECOND = 200  # of one core, for each kind of item


class PersonalData(TextSignal):
    """How many items in a text identify or expose a person; account and card numbers with the right check digits."""

    kind: Literal["personal-data"] = "personal-data"
    of: list[Literal["email", "phone", "iban", "card", "key"]] = Field(
        ["email", "phone", "iban", "card", "key"], min_length=1, description="What is counted."
    )

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Numbers:
        """Return the number of items in each text, NaN where there is none."""
        from evenkeel.tasks.signal.text.personal import count_personal

        return count_personal(self.texts(source, block), list(dict.fromkeys(self.of)))

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool."""
        return 0.1 + len(self.of) * work.text_megabytes / MEGABYTES_A_SECOND
