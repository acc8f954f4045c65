"""How many e-mail addresses, phone numbers, account and card numbers, keys and tokens a text has."""

from typing import Literal, Self

from pydantic import Field

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.signal.signal import Fit, Numbers
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.signal.text.signals import TextSignal
from evenkeel.tasks.workload import Workload

MEGABYTES_A_SECOND = 200  # of one core, for each kind of item
SECRETS_MEGABYTES_A_SECOND = 60  # of one core


class PersonalData(TextSignal):
    """How many items in a text identify or expose a person; account and card numbers with the right check digits."""

    kind: Literal["personal-data"] = "personal-data"
    of: list[Literal["email", "phone", "iban", "card", "key"]] = Field(
        ["email", "phone", "iban", "card", "key"], min_length=1, description="What is counted."
    )

    key_rules: Literal["prefixes", "detect-secrets"] = Field(
        "prefixes",
        description="Whose rules find keys: our prefixes of issuers, or those of detect-secrets (the extra `secrets`).",
    )
    release: str = Field("", description="Release of detect-secrets, whose rules are used; filled in by the run.")

    def current(self) -> Self:
        """Return it with the release of the library that it uses. Raises RecipeError where that is not installed."""
        from importlib.metadata import PackageNotFoundError, version

        if self.key_rules != "detect-secrets" or "key" not in self.of:
            return self
        try:
            return self.model_copy(update={"release": version("detect-secrets")})
        except PackageNotFoundError as error:
            raise RecipeError(
                "the package with the rules for keys is not installed",
                expected="detect-secrets",
                where=f"signals, {self.name}",
                remedy="pip install 'evenkeel[secrets]', on the workers too, or key_rules: prefixes",
            ) from error

    def compute(self, source: SignalSource, block: str, fit: Fit) -> Numbers:
        """Return the number of items in each text, NaN where there is none."""
        from evenkeel.tasks.signal.text.personal import count_personal

        return count_personal(self.texts(source, block), list(dict.fromkeys(self.of)), self.key_rules, fit.backend)

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool."""
        slow = work.text_megabytes / SECRETS_MEGABYTES_A_SECOND if self.release else 0.0
        return 0.1 + len(self.of) * work.text_megabytes / MEGABYTES_A_SECOND + slow
