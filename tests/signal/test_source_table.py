"""The table of sources: shards follow lines by patterns; what matches nothing, or two lines, is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.flows.recipe import parse
from evenkeel.infra import storage
from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.infra.tables import read_table
from evenkeel.tasks.ingest.pool import Pool, Shard
from evenkeel.tasks.ingest.source_table import read_source_table, sources_of_shards
from evenkeel.tasks.signal.kinds.source_table import SourceTableSignal
from evenkeel.tasks.step import InProcess
from tests.sample.pools import make_run, write_pool

TABLE = """pattern,source,license,creator
wiki/*,wikipedia,CC-BY-SA-4.0,Wikimedia
books/a.parquet,gutenberg,public-domain,Project Gutenberg
s3://bucket/news-??.parquet,news,,
"""
BASE: dict[str, Any] = {
    "dataset": "d",
    "source": {"uri": "s", "text": "t", "groups": ["topic"]},
    "destination": {"uri": "p"},
    "sampling": {"target": 9},
}


def shard(number: int, name: str, uri: str = "") -> Shard:
    about: dict[str, Any] = {"bytes": 1, "sha256": "", "rows": 4, "quarantined": 0}
    return Shard(number=number, name=name, uri=uri or f"/pool/{name}", **about)


SHARDS = [
    shard(0, "wiki/en/1.parquet"),
    shard(1, "books/a.parquet"),
    shard(7, "news-03.parquet", "s3://bucket/news-03.parquet"),
]


def table(folder: Path, text: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sources.csv").write_text(text)
    return str(folder / "sources.csv")


def test_a_shard_follows_the_line_whose_pattern_it_matches(tmp_path: Path) -> None:
    lines = read_source_table(table(tmp_path, TABLE + "old/*,old,MIT,\n"))
    found = sources_of_shards(lines, SHARDS)
    says = {number: (line.source, line.licence) for number, line in found.lines.items()}
    assert says == {0: ("wikipedia", "CC-BY-SA-4.0"), 1: ("gutenberg", "public-domain"), 7: ("news", "")}
    assert [line.pattern for line in found.unused] == ["old/*"]
    unnamed = read_source_table(table(tmp_path, "pattern,licence\n*,MIT\n"))
    assert [line.source for line in unnamed] == ["*"], "a source without a name is called by its pattern"


def test_what_matches_no_line_or_two_is_named_or_settled(tmp_path: Path) -> None:
    lines = read_source_table(table(tmp_path, TABLE))
    strange = [*SHARDS, shard(8, "web/1.parquet")]
    with pytest.raises(InputError, match="1 shards match no line") as none:
        sources_of_shards(lines, strange)
    assert none.value.found == "web/1.parquet"
    assert "provenance.unmatched: none" in str(none.value.remedy)
    assert 8 not in sources_of_shards(lines, strange, unmatched="none").lines
    twice = read_source_table(table(tmp_path, TABLE + "*/en/*,english,MIT,\n"))
    with pytest.raises(InputError, match="match lines of two sources") as two:
        sources_of_shards(twice, SHARDS)
    assert two.value.found == "wiki/en/1.parquet: 'wiki/*' and '*/en/*'"
    settled = sources_of_shards(twice, SHARDS, several="first")
    assert settled.lines[0].source == "wikipedia"
    assert settled.unused == []
    same = read_source_table(table(tmp_path, TABLE + "*/en/*,wikipedia,CC-BY-SA-4.0,Wikimedia\n"))
    assert sources_of_shards(same, SHARDS).lines[0].source == "wikipedia", "two patterns of one source agree"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pattern,creator\n*,x\n", "no column 'licence'"),
        ("licence\nMIT\n", "no column 'pattern'"),
        ("pattern,licence\n,MIT\n", "without a pattern"),
        ("pattern,licence\n", "has no line"),
        ("pattern,source,licence\na,x,MIT\nb,x,GPL\n", "two things of the source 'x'"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_source_table(table(tmp_path, text))


def test_many_patterns_and_shards_match_as_each_with_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = ["pattern,source,licence"]
    texts += [f"{'abc'[rng.integers(3)]}{'*?-'[rng.integers(3)]}{one}*,s{one},MIT" for one in range(60)]
    lines = read_source_table(table(tmp_path, "\n".join(texts) + "\n"))
    shards = [shard(n, f"{'abc'[n % 3]}{'x-'[n % 2]}{n}") for n in range(120)]
    found = sources_of_shards(lines, shards, "none", "first").lines
    for one in shards:
        first = next((line.source for line in lines if line.matches(one)), None)
        assert first == (found[one.number].source if one.number in found else None)


def test_rows_have_what_the_table_says_of_their_shard(tmp_path: Path) -> None:
    done = write_pool(tmp_path, np.eye(2)[np.arange(90) % 2], levels=[np.arange(90) % 2])
    shards = [shard(0, "wiki/1.parquet").model_dump(), shard(3, "books/a.parquet").model_dump()]
    storage.write_json(str(tmp_path / "ingest" / "shards.json"), shards)
    uri, run_step = table(tmp_path / "lists", TABLE), InProcess(make_run(tmp_path))
    ref = compute_signal(SourceTableSignal(name="licence", uri=uri), done, run_step)
    pool = Pool.open(done["ingest"], signals={"licence": ref})
    assert {one for block in pool.blocks for one in pool.table(block, ["group.licence"])[0].to_pylist()} == {
        "CC-BY-SA-4.0"
    }
    sources = read_table(storage.join(ref.uri, "fit", "sources.parquet")).to_pylist()
    assert [(one["source"], one["shards"], one["rows"]) for one in sources] == [
        ("gutenberg", [3], 4), ("news", [], 0), ("wikipedia", [0], 4),
    ]  # fmt: skip
    Path(uri).write_text(TABLE.replace("CC-BY-SA-4.0", "GFDL"))
    other = compute_signal(SourceTableSignal(name="licence", uri=uri), done, run_step)
    assert other.key != ref.key, "another table is another signal"


def test_the_section_brings_columns_and_a_gate(tmp_path: Path) -> None:
    uri = table(tmp_path, TABLE)
    recipe = parse({**BASE, "provenance": {"sources": uri, "allow": ["CC0"], "columns": ["creator"]}})
    assert [(one.kind, one.name) for one in recipe.signals] == [
        ("source-table", "source"),
        ("source-table", "licence"),
        ("source-table", "creator"),
    ]
    assert recipe.gates.add[-1].sentence() == "the version holds no licence but CC0"
    assert parse(recipe.model_dump(mode="json")) == recipe
    clash = {**BASE, "source": {**BASE["source"], "groups": ["licence"]}}
    with pytest.raises(RecipeError, match="'licence' is a group already"):
        parse({**clash, "provenance": {"sources": uri}})
    parse({**clash, "provenance": {"sources": uri, "prefix": "source_"}})
