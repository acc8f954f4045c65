"""A column that is nowhere, and a type that does not fit, are said before the source is read."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.flows.columns import require_columns
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.ingest.source import ingest_request


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards, of which the second alone has a licence."""
    first = {"id": ["a"], "vector": [[1.0, 2.0]], "loss": [0.5], "topic": ["x"], "length": [3], "day": [None]}
    second = {**first, "licence": ["MIT"]}
    for name, columns in (("a", first), ("b", second)):
        table = pa.table(columns)
        table = table.set_column(5, "day", table["day"].cast(pa.date32()))
        pq.write_table(table, tmp_path / f"{name}.parquet")
    return tmp_path


def check(uri: Path, **sections: Any) -> None:
    source = {"uri": f"{uri}/*.*", "groups": ["topic"], "scores": ["loss"]}
    document = {"dataset": "columns", "source": source, "sampling": {"target": 1}, **sections}
    recipe = parse({**document, "destination": {"uri": f"{uri}-published"}})
    require_columns(recipe, ingest_request(recipe.source).shards)


@pytest.mark.parametrize(
    ("sections", "match"),
    [
        ({"filters": [{"drop": "licens == 'MIT'"}]}, r"no column 'licens'(.|\n)*filters(.|\n)*did you mean licence"),
        ({"filters": [{"drop": "topic > 3"}]}, r"type does not fit(.|\n)*'topic > 3'|type does not fit(.|\n)*topic"),
        ({"filters": [{"drop": "licence > 3"}]}, "type does not fit"),
        ({"filters": [{"keep": "loss + 1"}]}, "a condition, true or false"),
        ({"filters": [{"window": "licence", "keep": [0, 0.5]}]}, "does not hold numbers"),
        ({"filters": [{"drop": "topic == 'a'", "soft": {"above": 1, "keep": 0.5}}]}, "holds no numbers"),
        ({"filters": [{"drop": "day > 'someday'"}]}, "a date or time"),
        ({"signals": [{"name": "odd", "of": "los * 2"}]}, r"no column 'los'(.|\n)*signals, odd"),
        ({"signals": [{"name": "odd", "of": "licence * 2"}]}, r"type does not fit(.|\n)*signals, odd"),
        ({"signals": [{"name": "odd", "of": "topic", "map": "s * 2"}]}, "type does not fit"),
        ({"signals": [{"name": "place", "kind": "rank", "of": "los"}]}, "no column 'los'"),
    ],
)
def test_what_no_shard_has_or_does_not_fit_is_named_before_reading(
    folder: Path, sections: dict[str, Any], match: str
) -> None:
    with pytest.raises(RecipeError, match=match):
        check(folder, **sections)


def test_what_is_there_passes(folder: Path) -> None:
    check(
        folder,
        bins={"length": {"width": 5}},
        signals=[{"name": "twice", "of": "2 * loss"}, {"name": "more", "of": "score.twice + tokens + row"}],
        filters=[
            {"drop": "licence in ['MIT'] and day > '2024-01-01' and more below quantile 0.3", "by": "topic"},
            {"keep": "group.length == '[0, 5)' or id == 'b'"},
            {"window": "twice", "keep": [0, 0.5]},
        ],
    )


def test_a_format_without_a_schema_is_left_to_the_steps(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "a", "loss": 1.0, "topic": "x"}))
    check(tmp_path, filters=[{"drop": "later > 1"}])


@pytest.mark.parametrize(
    ("sampling", "match"),
    [
        ({"strategy": {"name": "weighted", "by": "lss"}}, r"score column 'lss'(.|\n)*did you mean loss"),
        (
            {"strategy": {"name": "uniform", "groups": ["language"]}},
            r"group column 'language'(.|\n)*add it to source.groups",
        ),
        ({"strategy": {"name": "entries", "over": ["loss"]}}, r"tags column 'loss'(.|\n)*add it to signals"),
        ({"order": "score", "score": "topic", "strategy": "flat"}, "score column 'topic'"),
        ({"shares": [{"group": "langauge", "value": "x", "at_least": 0.1}]}, "group column 'langauge'"),
    ],
)
def test_sampling_by_a_column_that_is_nowhere_is_refused_before_reading(
    folder: Path, sampling: dict[str, Any], match: str
) -> None:
    with pytest.raises(RecipeError, match=match):
        check(folder, sampling={"target": 1, **sampling})
