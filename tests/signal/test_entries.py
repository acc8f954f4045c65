"""Signals that are tags: entries found in texts, list columns, tags that occur together."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.flows.places import with_absolute_paths
from evenkeel.flows.recipe import parse
from evenkeel.infra.errors import InputError, RecipeError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.kinds.entries import EntriesSignal
from evenkeel.tasks.signal.kinds.tags import TagsSignal
from evenkeel.tasks.signal.kinds.together import TogetherSignal
from evenkeel.tasks.step import InProcess
from tests.sample.pools import make_run, write_pool

WORDS = ["cat", "black cat", "Catalogue", "c++", "new york", "rare bird"]
TEXTS = [
    ["A black cat.", "the catalogue of cats", "C++ in New  York", "concatenate", "cat, cat, black\ncat"][row % 5]
    + (" rare bird" if row == 17 else "")
    for row in range(150)
]


def pool(folder: Path, block_rows: int = 64, texts: list[str] | None = TEXTS) -> dict[str, StepRef]:
    rows = len(TEXTS)
    leaf = np.zeros(rows, np.int64)
    return write_pool(folder, np.eye(2)[leaf], levels=[leaf], texts=texts, block_rows=block_rows)


def tags_of(ref: StepRef, done: dict[str, StepRef], name: str = "x") -> list[list[str] | None]:
    opened = Pool.open(done["ingest"], signals={name: ref})
    assert opened.tags == (name,)
    rows: list[list[str] | None] = []
    for block in opened.blocks:
        rows += opened.table(block, [f"tags.{name}"])[f"tags.{name}"].to_pylist()
    return rows


@pytest.mark.parametrize("block_rows", [64, 7])
def test_rows_have_the_entries_that_a_regular_expression_finds(tmp_path: Path, block_rows: int) -> None:
    done = pool(tmp_path, block_rows)
    ref = compute_signal(EntriesSignal(name="x", values=WORDS), done, InProcess(make_run(tmp_path)))
    rules = {w: re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, w.lower().split())) + r"(?!\w)") for w in WORDS}
    expected = [sorted(word for word, rule in rules.items() if rule.search(text.lower())) for text in TEXTS]
    assert [sorted(tags or []) for tags in tags_of(ref, done)] == expected
    assert ref.counts["missing"] == sum(not tags for tags in expected) == 30
    assert sum("rare bird" in tags for tags in expected) == 1


def test_a_file_of_entries_is_read_whatever_it_holds(tmp_path: Path) -> None:
    lines = ["\ufeffcat", "", "  ", "CAT", "black   cat", "c++", "a.*(b", "Black Cat", "never seen"]
    (tmp_path / "a.txt").write_text("\r\n".join(lines), encoding="utf-8")
    (tmp_path / "b.csv").write_text("entry,why\nnew york,city\ncat,animal\n,\n")
    pq.write_table(pa.table({"entry": ["rare bird", None], "n": [1, 2]}), tmp_path / "c.parquet")
    files = [str(tmp_path / name) for name in ("a.txt", "b.csv", "c.parquet")]
    done = pool(tmp_path / "pool")
    ref = compute_signal(EntriesSignal(name="x", uri=files), done, InProcess(make_run(tmp_path)))
    assert ref.facts["entries"] == 7
    assert ref.facts["list"] == {"read": 14, "blank": 4, "repeated": 3}
    found = Counter(tag for tags in tags_of(ref, done) for tag in tags or [])
    assert found == {"cat": 60, "black   cat": 60, "c++": 30, "new york": 30, "rare bird": 1}


def test_a_changed_file_is_another_signal(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("cat\n")
    before = EntriesSignal(name="x", uri=str(path)).current()
    path.write_text("cat\ndog\n")
    assert EntriesSignal(name="x", uri=str(path)).current() != before


def test_what_cannot_be_matched_is_named(tmp_path: Path) -> None:
    run_step = InProcess(make_run(tmp_path))
    (tmp_path / "blank.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "other.csv").write_text("word\ncat\n")
    done = pool(tmp_path / "pool")
    for uri, error, message in [
        ("blank.txt", RecipeError, "the list of entries is empty"),
        ("latin.txt", InputError, "the list of entries is not UTF-8"),
        ("other.csv", InputError, r"has no column 'entry'(.|\n)*one of word"),
        ("none.txt", InputError, r"none\.txt"),
    ]:
        with pytest.raises(error, match=message):
            compute_signal(EntriesSignal(name="x", uri=str(tmp_path / uri)), done, run_step)
    without = pool(tmp_path / "other", texts=None)
    with pytest.raises(RecipeError, match=r"set source\.text"):
        compute_signal(EntriesSignal(name="x", values=["cat"]), without, run_step)


def test_list_columns_and_texts_become_tags_and_pairs_of_them(tmp_path: Path) -> None:
    done = pool(tmp_path)
    for number, path in enumerate(sorted((tmp_path / "ingest" / "payload").glob("*.parquet"))):
        table = pq.read_table(path)
        tags = [[f"t{row % 3}", " u ", None, f"t{row % 3}"] if row % 4 else None for row in range(len(table))]
        words = [f"u; v{number}" if row % 2 else "" for row in range(len(table))]
        table = table.append_column("objects", pa.array(tags, pa.list_(pa.string())))
        table = table.append_column("numbers", pa.array([[row, 1] for row in range(len(table))]))
        pq.write_table(table.append_column("hashtags", pa.array(words)), path)
    info = Pool.open(done["ingest"]).info
    info = info.model_copy(
        update={"payload": {"text": "string", "objects": "list", "hashtags": "string", "numbers": ""}}
    )
    (tmp_path / "ingest" / "pool.json").write_text(info.model_dump_json())
    run_step = InProcess(make_run(tmp_path))
    both = TagsSignal(name="x", column=["objects", "hashtags"], separator=";")
    done["signals.x"] = compute_signal(both, done, run_step)
    rows = tags_of(done["signals.x"], done)
    assert rows[:4] == [None, ["t1", "u", "v0"], ["t2", "u"], ["t0", "u", "v0"]]
    assert rows[64 + 1] == ["t1", "u", "v1"]
    pairs = compute_signal(TogetherSignal(name="p", of="x"), done, run_step)
    assert tags_of(pairs, done, "p")[:4] == [
        None,
        ["t1 & u", "t1 & v0", "u & v0"],
        ["t2 & u"],
        ["t0 & u", "t0 & v0", "u & v0"],
    ]
    assert tags_of(compute_signal(TagsSignal(name="n", column="numbers"), done, run_step), done, "n")[2] == ["2", "1"]


def document(**sections: Any) -> dict[str, Any]:
    source = {"uri": "shards", "text": "text"}
    return {"dataset": "d", "source": source, "sampling": {"target": 9}, "destination": {"uri": "p"}, **sections}


def test_the_section_of_entries_is_read_as_signals() -> None:
    entries = [
        {"name": "concepts", "uri": "entries.txt", "match": "words"},
        {"name": "objects", "column": "tags"},
        {"name": "pairs", "of": "objects", "together": True},
    ]
    recipe = parse(document(entries=entries, signals=[{"name": "one", "of": "tokens + 1"}]))
    assert [signal.kind for signal in recipe.signals] == ["expression", "entries", "tags", "together"]
    assert parse(recipe.model_dump(mode="json")) == recipe
    placed = with_absolute_paths(recipe).signals[1]
    assert isinstance(placed, EntriesSignal)
    assert placed.uri == str(Path("entries.txt").absolute())
    with pytest.raises(RecipeError, match="entries: concepts needs uri or values"):
        parse(document(entries=[{"name": "concepts"}]))
    with pytest.raises(RecipeError, match="entries: expected a list"):
        parse(document(entries={"concepts": "entries.txt"}))
