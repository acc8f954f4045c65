"""What a trainer reports of a version: one value of a metric, of everything, of a domain, or of an example."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from evenkeel.infra import storage
from evenkeel.infra.errors import DamagedFile, InputError
from evenkeel.infra.tables import read_batches

METRIC = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
SHOWN = 3
MOST_ROWS = (1 << 63) - 1


def _number(value: object) -> object:
    """Refuse what would pass for a number: `true` for 1, `"0.71"` for 0.71."""
    if isinstance(value, bool | str):
        raise ValueError(f"{json.dumps(value)[:40]} is no number")
    return value


Number = Annotated[float, BeforeValidator(_number)]
Rows = Annotated[int, BeforeValidator(_number), Field(le=MOST_ROWS)]


class Score(BaseModel):
    """One value. error: its standard error. rows: seen in training. cost: of training, in any unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(pattern=METRIC)
    value: Number
    domain: str = ""
    example: str = ""
    error: Number | None = None
    rows: Rows | None = None
    cost: Number | None = None

    @property
    def of(self) -> str:
        """Say what the value is of: `accuracy`, `accuracy of the domain web`, `influence of the example r7`."""
        if self.example:
            return f"{self.metric} of the example {self.example}"
        return f"{self.metric} of the domain {self.domain}" if self.domain else self.metric

    @property
    def part(self) -> str:
        """Whether it is of everything, of a domain or of an example: metrics of these are told apart."""
        return "example" if self.example else "domain" if self.domain else "version"


class ScoreFile(BaseModel):
    """A list of scores, and perhaps who trained."""

    model_config = ConfigDict(extra="forbid")

    trainer: str = ""
    scores: list[Score]


def read_scores(uri: str) -> ScoreFile:
    """Return the scores in a file: .json (a list, or {trainer, scores}), .jsonl with one a line, or .parquet.

    Raises InputError where there is no such file, or what it holds are no scores, naming the first that is none.
    """
    try:
        if uri.endswith(".parquet"):
            found: object = {"scores": list(_rows(uri))}
        else:
            text = storage.read_bytes(uri).decode()
            found = (
                [json.loads(line) for line in text.splitlines() if line.strip()]
                if uri.endswith(".jsonl")
                else (json.loads(text))
            )
    except FileNotFoundError as error:
        raise InputError("there is no such file of scores", where=uri) from error
    except (ValueError, DamagedFile) as error:
        raise InputError(
            "the file of scores cannot be read",
            expected=".json, .jsonl with one score a line, or .parquet",
            found=str(error)[:200],
            where=uri,
        ) from error
    return parse_scores(found, uri)


def parse_scores(document: object, where: str) -> ScoreFile:
    """Return the scores in a plain document: a list of them, or {trainer, scores}. Raises InputError as above."""
    try:
        made = ScoreFile.model_validate({"scores": document} if isinstance(document, list) else document)
    except ValidationError as error:
        first = error.errors()[:SHOWN]
        told = (f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}" for one in first)
        raise InputError(
            f"{error.error_count():,} value(s) of the report are none of a score",
            expected='a list of {"metric": ..., "value": ...}, with domain or example, error, rows, cost as known',
            found="; ".join(told).removeprefix(": "),
            where=where,
        ) from error
    if not made.scores:
        raise InputError("there are no scores", where=where, remedy="report at least one value")
    return made


def _rows(uri: str) -> Iterator[Mapping[str, Any]]:
    for batch in read_batches(uri, 1 << 16):
        for row in batch.to_pylist():
            yield {name: value for name, value in row.items() if value is not None}
