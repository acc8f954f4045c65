"""What signals of a text's language share."""

from typing import TYPE_CHECKING, Self

from pydantic import Field

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.signal.text.signals import TextSignal
from evenkeel.tasks.workload import Workload

if TYPE_CHECKING:
    from evenkeel.infra.compute import Backend
    from evenkeel.tasks.signal.source import SignalSource
    from evenkeel.tasks.signal.text.language import Languages

MEGABYTES_A_SECOND = 15  # of one core


class IdentifiedSignal(TextSignal):
    """A signal that identifies the language of texts; needs the extra `language`."""

    max_characters: int = Field(2000, ge=1, description="Of a longer text, so many characters are read.")
    release: str = Field("", description="Release of py3langid, whose model is used; filled in by the run.")

    def current(self) -> Self:
        """Return it with the release of the library. Raises RecipeError where that is not installed."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            return self.model_copy(update={"release": version("py3langid")})
        except PackageNotFoundError as error:
            raise RecipeError(
                "the package that identifies languages is not installed",
                expected="py3langid",
                where=f"signals, {self.name}",
                remedy="pip install 'evenkeel[language]', on the workers too",
            ) from error

    def identified(self, source: "SignalSource", block: str, backend: "Backend") -> "Languages":
        """Return the languages of the texts of a block."""
        from evenkeel.tasks.signal.text.language import languages_of

        return languages_of(self.texts(source, block), self.max_characters, backend)

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool."""
        read = work.rows * min(work.text_bytes, self.max_characters) / 1e6
        return 1 + read / MEGABYTES_A_SECOND
