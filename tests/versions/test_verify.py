"""A verification finds every changed byte, and every file too few or too many."""

from evenkeel.infra import storage
from evenkeel.tasks.publish.config import DestinationConfig
from evenkeel.tasks.versions.verify import verify
from tests.publish.fixtures import Publish


def test_verify_finds_any_flipped_byte(publish_one: Publish, destination: DestinationConfig, workspace: str) -> None:
    result = publish_one(extras={"card.html": b"<html>"})
    assert verify(destination, "demo", 1, workspace).sound
    for path in ("data/part-00001.parquet", "fates/quarantined.parquet", "card.html", "manifest.json"):
        uri = storage.join(result.location, path)
        good = storage.read_bytes(uri)
        for place in (0, len(good) // 2, len(good) - 1):
            storage.write_bytes(uri, good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
            found = verify(destination, "demo", 1, workspace)
            assert [damage.path for damage in found.damages] == [path]
            assert not found.sound
        storage.write_bytes(uri, good)
    storage.write_bytes(storage.join(result.location, "data/part-99.parquet"), b"smuggled")
    storage.remove(storage.join(result.location, "card.html"))
    assert {d.path: d.problem for d in verify(destination, "demo", 1, workspace).damages} == {
        "card.html": "is missing",
        "data/part-99.parquet": "was not published",
    }
