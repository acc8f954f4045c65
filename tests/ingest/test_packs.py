"""Small shards share blocks: which ones do changes no row, and a shard that comes or changes touches one pack."""

import json
from pathlib import Path

import numpy as np
import pytest

from evenkeel.tasks.cluster.assign import unchanged_parts
from evenkeel.tasks.ingest import packs
from evenkeel.tasks.ingest.pool import Pool, blocks_of
from evenkeel.tasks.ingest.quarantine import quarantine_of
from tests.ingest.pools import ingest, refused, whole, write


def small_shards(folder: Path, shards: int, seed: int = 0) -> Path:
    """Write small shards of a few rows: some with bad rows, ids of others, other types, none, or unreadable."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(shards):
        kind = ["plain", "plain", "bad row", "double", "other column", "empty", "unreadable", "large"][rng.integers(8)]
        rows = 40 if kind == "large" else int(rng.integers(1, 5))
        lines = [
            {"id": f"r{rng.integers(4 * shards)}", "text": f"text {number} {row}", "n": row + (kind == "double") / 2}
            | ({f"c{number % 3}": "more"} if kind == "other column" else {})
            for row in range(rows)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        text = {"empty": "", "bad row": text + "{no json\n", "unreadable": '["a",\n"b"]\n'}.get(kind, text)
        (folder / f"{number:05d}.jsonl").write_text(text)
    write(folder / "00007.parquet", {"id": ["p1", "p2"], "text": ["a text", "a second"]})
    return folder


def read(folder: Path, source: Path) -> Pool:
    return ingest(folder, uri=str(source), max_quarantined=1.0, rows_per_block=16)


def contents(pool: Pool) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for block in pool.blocks:
        for part in block.parts:
            found.setdefault(part.shard, []).append(part.content)
    return found


@pytest.mark.slow
def test_packs_change_no_row_and_no_disposition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_shards(tmp_path / "source", 90)
    packed = read(tmp_path / "packed", source)
    monkeypatch.setattr(packs, "PACKED", 7)
    sevens = read(tmp_path / "sevens", source)
    monkeypatch.setattr(packs, "SMALL_BYTES", 0)
    alone = read(tmp_path / "alone", source)
    assert packed.info.read == packed.rows + packed.info.quarantined > 200
    assert {"duplicate id", "unparsable row"} <= set(packed.info.reasons)
    for pool in (packed, sevens):
        assert whole(pool) == whole(alone)
        assert refused(pool) == refused(alone)
        assert pool.shards == alone.shards
        assert pool.info == alone.info
        assert quarantine_of(pool.uri) == quarantine_of(alone.uri)
        assert [block.name for block in pool.blocks] == sorted(block.name for block in pool.blocks)
        assert [pool.number(name) for name in pool.names] == list(range(len(pool.blocks)))
        assert all(block.rows <= 16 for block in pool.blocks)
        for block in pool.blocks:
            table = pool.table(block, ["row_id", "shard"])
            counted = np.unique(table["shard"].to_numpy(), return_counts=True)
            assert [(part.shard, part.rows) for part in block.parts if part.rows] == list(
                zip(*map(list, counted), strict=True)
            )
            assert {one.name for one in blocks_of(pool, table["row_id"].to_numpy()[-1:])} >= {block.name}
    with pytest.raises(KeyError):
        packed.number("no such block")
    assert len(packed.blocks) < len(sevens.blocks) < len(alone.blocks)


def test_a_shard_that_changes_or_comes_touches_its_pack_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACKED", 4)
    source = tmp_path / "source"
    source.mkdir()
    for number in range(10):
        (source / f"{number}.jsonl").write_text(json.dumps({"id": f"r{number}", "text": f"text {number}"}) + "\n")
    first = read(tmp_path / "a", source)
    assert [block.name[:7] for block in first.blocks] == ["s000000", "s000004", "s000008", "s000009"]
    (source / "1.jsonl").write_text(json.dumps({"id": "r1", "text": "another text"}) + "\n")
    for number in (10, 11):
        (source / f"x{number}.jsonl").write_text(json.dumps({"id": f"r{number}", "text": f"text {number}"}) + "\n")
    second, fresh = read(tmp_path / "a", source), read(tmp_path / "fresh", source)
    assert whole(second) == whole(fresh)
    assert second.blocks == fresh.blocks
    assert [block.name[:7] for block in second.blocks] == ["s000000", "s000004", "s000008"]
    taken = [json.loads(path.read_text()) for path in sorted(Path(second.uri).glob("reports/*.json"))]
    assert [[one["taken"] for one in pack] for pack in taken] == [[False] * 4, [True] * 4, [False] * 4]
    old, new = contents(first), contents(second)
    assert {number for number, parts in new.items() if parts == old.get(number)} == {0, 2, 3, 4, 5, 6, 7, 8, 9}
    names = [block.name for block in first.blocks]
    assert unchanged_parts(first, second) == [
        {names[0]: [0, 2, 3]},
        {names[1]: [4, 5, 6, 7]},
        {names[2]: [8], names[3]: [9]},
    ]
