"""The key of ingest follows the content of the source, and nothing else."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.reasons import Reason
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from tests.ingest.pools import ingest, run_at, whole, write


def test_new_and_changed_shards_give_a_new_key_and_others_the_cached_pool(tmp_path: Path) -> None:
    source = SourceConfig(uri=str(tmp_path / "pool"))
    write(tmp_path / "pool" / "a.parquet", {"text": ["x"]})
    run, keys = run_at(tmp_path), []

    def key() -> str:
        return INGEST.key(ingest_request(source), NoInputs(), run)

    first = INGEST(ingest_request(source), NoInputs(), run)
    stamp = os.stat(f"{first.uri}/done.json").st_mtime_ns
    assert INGEST(ingest_request(source), NoInputs(), run) == first
    assert os.stat(f"{first.uri}/done.json").st_mtime_ns == stamp
    keys.append(key())
    write(tmp_path / "pool" / "b.parquet", {"text": ["y"]})
    keys.append(key())
    write(tmp_path / "pool" / "a.parquet", {"text": ["z"]})
    keys.append(key())
    (tmp_path / "pool" / "README.md").write_text("no shard")
    (tmp_path / "pool" / ".hidden.parquet").write_text("no shard")
    assert key() == keys[-1]
    assert len(set(keys)) == 3


def test_identity_survives_new_shards(tmp_path: Path) -> None:
    write(tmp_path / "pool" / "m.parquet", {"text": ["x", "y"]})
    before = whole(ingest(tmp_path, uri=str(tmp_path / "pool")))
    write(tmp_path / "pool" / "a.parquet", {"text": ["new"]})
    after = whole(ingest(tmp_path, uri=str(tmp_path / "pool")))
    assert after["id"] == ["a.parquet:0", *before["id"]]
    assert after["identity"][1:] == before["identity"]
    assert after["row_id"][1:] != before["row_id"]


def test_text_hash_tells_texts_and_not_their_white_space(tmp_path: Path) -> None:
    texts = ["a  b\n", "a b", "a\u00a0b", "A b", "e\u0301", "\u00e9", "ab"]
    write(tmp_path / "a.parquet", {"text": texts})
    found = whole(ingest(tmp_path, uri=str(tmp_path)))
    hashes = found["text_hash"]
    assert len({*hashes[:3]}) == 1
    assert hashes[4] == hashes[5]
    assert len(set(hashes)) == 4
    assert found["tokens"] == [2, 2, 2, 2, 1, 1, 1]


def test_only_what_cannot_be_mistaken_is_guessed(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": [1], "text": ["x"], "v": [[1.0]], "w": [[1.0]], "tags": [[1, 2]]})
    ref = INGEST(ingest_request(SourceConfig(uri=str(tmp_path / "a.parquet"))), NoInputs(), run_at(tmp_path))
    assert ref.facts["columns"] == {"id": "id", "text": "text", "vector": None}
    assert ref.facts["guessed"] == ["id", "text"]


def test_a_wrong_source_names_the_field() -> None:
    for wrong, field in (
        ({"uri": ""}, "uri"),
        ({"uri": "x", "formt": "csv"}, "formt"),
        ({"uri": "x", "dimension": 0}, "dimension"),
    ):
        with pytest.raises(ValidationError, match=field):
            SourceConfig.model_validate(wrong)


def test_every_reason_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "INGEST.md").read_text()
    for reason in Reason:
        assert reason is Reason.SOUND or f"| {reason.label} |" in page
