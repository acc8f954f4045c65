"""What an operation returns to whoever asked for it: the command line, or a flow."""

from typing import Generic, NamedTuple, TypeVar

Result = TypeVar("Result", covariant=True)


class Answer(NamedTuple, Generic[Result]):
    """The result of an operation, and the sentence that says it. ok: False where what was asked about is not well."""

    result: Result
    sentence: str
    ok: bool = True
