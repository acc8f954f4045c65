"""Every error Evenkeel raises on purpose.

EvenkeelError                   exit code 1
├── RecipeError                 2   a recipe, an override or a combination of options is wrong
│   └── PluginError             2   a recipe names what an installed package adds, and that cannot be used
├── InputError                  1   the source cannot be used as it is
│   ├── QuarantineLimitError    1   more rows or shards were quarantined than the recipe allows
│   └── NothingLeftError        1   no row of the source can be used
├── ResourceError               1   the work does not fit the machine, or the machine asked for is not there
├── StorageError                1   a store refused, or is not there
│   ├── DamagedFile             1   a file does not hold what was written into it
│   └── StagedFilesMissing      1   files of the coming version are gone: run again, they are staged anew
├── AccountingError             1   rows in != kept + deduplicated + filtered + not sampled + quarantined
├── GateFailed                  3   the version was not published: a blocking expectation failed
├── VersionNotFound             1   no such version, tag or dataset
├── CatalogMismatch             1   a dataset's versions are kept by another catalog than the one in use, or by none
├── PublishConflict             1   someone else committed first; nothing was lost, run again
├── DatasetBusy                 1   another run of the dataset is going on
├── CommitStateUnknown          1   the catalog did not answer; look before running again
└── StepError                   1   a step was called with what it does not take; a mistake in code, not in a recipe

An error says what was expected, what was found, where, and what to do next: `expected`, `found`, `where` and
`remedy` are kept as attributes and joined in the message.
"""


class EvenkeelError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        where: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message, self.expected, self.found, self.where, self.remedy = message, expected, found, where, remedy
        parts = [message]
        for label, value in (("expected", expected), ("found", found), ("where", where), ("remedy", remedy)):
            if value:
                parts.append(f"  {label}: {value}")
        super().__init__("\n".join(parts))


class StepError(EvenkeelError, TypeError):
    """A step was called with a config, inputs or references that are not its own."""


class RecipeError(EvenkeelError):
    """A recipe, an override or a combination of options is wrong."""

    exit_code = 2


class PluginError(RecipeError):
    """A recipe names what an installed package adds, and that cannot be used."""


class InputError(EvenkeelError):
    """The source cannot be used as it is."""


class QuarantineLimitError(InputError):
    """More rows or shards were quarantined than the recipe allows."""


class NothingLeftError(InputError):
    """No row of the source can be used."""


class ResourceError(EvenkeelError):
    """The work does not fit the machine, or the machine asked for is not there."""


class StorageError(EvenkeelError):
    """A store refused an operation, or cannot be reached."""


class DamagedFile(StorageError):
    """A file of ours does not hold what was written into it."""

    def __init__(self, uri: str, found: str) -> None:
        super().__init__(
            "a file is damaged: it does not hold what was written",
            found=found,
            where=uri,
            remedy="remove the folder of its step and run again; for a published version, run `evenkeel verify`",
        )


class StagedFilesMissing(StorageError):
    """Files of the coming version are not there in full; the next run stages them anew."""


class AccountingError(EvenkeelError):
    """Rows in differ from kept + deduplicated + filtered + not sampled + quarantined."""


class GateFailed(EvenkeelError):
    """A blocking expectation failed; nothing was made visible."""

    exit_code = 3


class VersionNotFound(EvenkeelError):
    """No such version, tag or dataset."""


class CatalogMismatch(EvenkeelError):
    """The versions of a dataset are kept by another catalog than the one in use, or by none any more."""


class PublishConflict(EvenkeelError):
    """Another publisher committed first; nothing was lost, run again."""


class DatasetBusy(EvenkeelError):
    """Another run of the dataset is going on."""


class CommitStateUnknown(EvenkeelError):
    """The catalog did not answer a commit; look at the versions before running again."""
