"""The results of a suite as the JSON document that lies beside a version."""

from collections.abc import Sequence

from evenkeel.expectations.result import Result
from evenkeel.infra import storage
from evenkeel.infra.workspace import StepRef

RESULTS = "results.json"


def write_results(uri: str, results: Sequence[Result]) -> None:
    """Write the results of a suite as JSON."""
    storage.write_json(uri, [one.model_dump(mode="json") for one in results])


def read_results(uri: str) -> list[Result]:
    """Return the results in a JSON document. Raises FileNotFoundError where there is none."""
    return [Result.model_validate(item) for item in storage.read_json(uri)]


def results_of(ref: StepRef) -> list[Result]:
    """Return the results that a validate step left."""
    return read_results(storage.join(ref.uri, RESULTS))
