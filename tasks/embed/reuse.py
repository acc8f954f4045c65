"""Embedding only what is new: the vectors of a block that an earlier run has embedded by the same map are taken over.

`<workspace>/<dataset>/embedded/<map>.json` names the last output made by a map: a hint, whose loss costs time alone.
"""

from collections.abc import Sequence

from evenkeel.infra import storage
from evenkeel.infra.workspace import content_key
from evenkeel.tasks.embed.config import PostSteps
from evenkeel.tasks.ingest.pool import Block
from evenkeel.tasks.step import Run


def map_key(settings: PostSteps, version: int, backend: str, folder: str, files: Sequence[str]) -> str:
    """Return the hash of all that makes a vector of a row: the method, its settings and what was fitted to `folder`."""
    fitted = {}
    for name in files:
        if storage.exists(place := storage.join(folder, name)):
            fitted[name] = storage.sha256(place)
    about = {"settings": settings.model_dump(mode="json", exclude={"fitted", "sample", "seed"}), "backend": backend}
    return content_key("map", version, {**about, "fitted": fitted}, {})


def take_over(key: str, blocks: Sequence[Block], files: Sequence[tuple[str, str]], out: str, run: Run) -> int:
    """Take over what was made of unchanged blocks, (folder, suffix) each, into the folder `out`; return of how many."""
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


def register(key: str, out: str, run: Run) -> None:
    """Write down that `out` holds vectors made by a map."""
    storage.write_json(_place(key, run), out)


def _place(key: str, run: Run) -> str:
    return storage.join(run.workspace, run.dataset, "embedded", f"{key}.json")
