"""Reuse the vectors of blocks that an earlier run embedded by the same map.

`<workspace>/<dataset>/embedded/<map>.json` names the last output of a map. It is a hint: losing it only costs time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evenkeel.infra import storage
from evenkeel.infra.arrays import map_array
from evenkeel.infra.dtypes import Array
from evenkeel.infra.registry import plugins_used
from evenkeel.infra.workspace import content_key
from evenkeel.tasks.embed.embedder import Embedder, Place
from evenkeel.tasks.ingest.pool import Block, Part
from evenkeel.tasks.step import Run


def map_key(embedder: Embedder, version: int, place: Place, files: Sequence[str]) -> str:
    """Return a hash of all that a row's vector depends on: method, options, package and fitted files."""
    fitted = {}
    for name in files:
        if storage.exists(file := storage.join(place.map, name)):
            fitted[name] = storage.sha256(file)
    options = embedder.model_dump(mode="json", exclude={"fitted", "sample", "seed"})
    about = {"settings": options, "backend": place.backend, "fitted": fitted}
    return content_key("map", version, about, plugins_used(embedder))


def take_over(key: str, blocks: Sequence[Block], files: Sequence[tuple[str, str]], out: str, run: Run) -> int:
    """Copy or link the files of unchanged blocks, (folder, suffix) each, into `out`; return the number of blocks."""
    try:
        earlier = storage.read_json(_place(key, run))
        known = {
            block["name"]: block.get("content") for block in storage.read_json(storage.join(earlier, "blocks.json"))
        }
    except FileNotFoundError:
        return 0
    taken = 0
    for block in blocks if earlier != out else ():
        if block.content and known.get(block.name) == block.content:
            try:
                for name in (storage.join(folder, f"{block.name}.{kind}") for folder, kind in files):
                    storage.share(storage.join(earlier, name), storage.join(out, name))
            except FileNotFoundError:
                continue
            taken += 1
    return taken


@dataclass(frozen=True)
class KnownParts:
    """Rows of single shards that an earlier run embedded by the same map: (block, first row) by content."""

    uri: str
    places: dict[str, tuple[str, int]]

    def vectors(self, part: Part, scratch: Path) -> Array | None:
        """Return the vectors of the rows of a shard, None where they are not known."""
        if part.content not in self.places:
            return None
        block, first = self.places[part.content]
        try:
            return map_array(storage.join(self.uri, "vectors", f"{block}.npy"), scratch)[first : first + part.rows]
        except FileNotFoundError:
            return None


def known_parts(key: str, blocks: Sequence[Block], out: str, run: Run) -> KnownParts | None:
    """Return what an earlier run has embedded of blocks that hold several shards; None where that is nothing."""
    wanted = {part.content for block in blocks if block.packed for part in block.packed if part.content}
    if not wanted:
        return None
    try:
        earlier = storage.read_json(_place(key, run))
        found = [Block.model_validate(item) for item in storage.read_json(storage.join(earlier, "blocks.json"))]
    except FileNotFoundError:
        return None
    if earlier == out:
        return None
    places = {}
    for block in found:
        first = 0
        for part in block.parts:
            if part.content in wanted:
                places[part.content] = (block.name, first)
            first += part.rows
    return KnownParts(earlier, places) if places else None


def register(key: str, out: str, run: Run) -> None:
    """Record that `out` holds the latest vectors of a map."""
    storage.write_json(_place(key, run), out)


def _place(key: str, run: Run) -> str:
    return storage.join(run.workspace, run.dataset, "embedded", f"{key}.json")
