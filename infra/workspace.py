"""The workspace: one folder per step output, named by a content key, which counts once its `done.json` is there."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from evenkeel.infra import storage
from evenkeel.infra.errors import StorageError
from evenkeel.infra.registry import plugins_used

DONE = "done.json"
USED = "used"
PRUNING = "PRUNING"
PRUNE_SECONDS = 60


class StepRef(BaseModel):
    """Says where the output of a step lies and what is in it: the small JSON document that travels between steps."""

    model_config = ConfigDict(frozen=True)

    step: str
    key: str
    uri: str
    counts: dict[str, int] = {}
    facts: dict[str, Any] = {}
    seconds: float = 0.0


def content_key(step: str, version: int, config: BaseModel | Mapping[str, object], inputs: Mapping[str, str]) -> str:
    """Return the 20-character hex key of a step output.

    It hashes the step's name and code version, its config as canonical JSON, the versions of the installed packages
    that the config draws on, and the keys of its inputs by name, so that the same question always finds the same answer
    and a changed one never does.
    """
    settings = config.model_dump(mode="json") if isinstance(config, BaseModel) else dict(config)
    document = {"step": step, "version": version, "config": settings, "inputs": dict(inputs)}
    if plugins := plugins_used(config):
        document["plugins"] = plugins
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:20]


def claim(uri: str) -> None:
    """Mark the step output at `uri` as used by a run, so that no prune removes it.

    A prune writes PRUNING and then reads when the folder was last claimed; a run claims the folder and then reads
    whether PRUNING is there, so the later of the two sees the other. Waits up to a minute for a prune to end, then
    raises StorageError.
    """
    storage.write_bytes(storage.join(uri, USED), b"by a run\n")
    being_pruned = Retrying(retry=retry_if_result(bool), wait=wait_fixed(0.2), stop=stop_after_delay(PRUNE_SECONDS))
    try:
        being_pruned(storage.exists, storage.join(uri, PRUNING))
    except RetryError as error:
        raise StorageError(
            "a prune is removing this step output",
            where=uri,
            remedy="run again when it is through; if it was killed, `evenkeel prune RECIPE --yes` ends its work",
        ) from error


def discard(uri: str) -> None:
    """Remove the step output at `uri`, which nothing reads any more: first what says that it is finished."""
    storage.remove(storage.join(uri, DONE))
    storage.remove(uri)


class StepFolder:
    """The folder of one step output: `<workspace>/<dataset>/<step>/<key>/`."""

    def __init__(self, workspace: str, dataset: str, step: str, key: str) -> None:
        self.step, self.key = step, key
        self.uri = storage.join(workspace, dataset, step, key)

    def path(self, *parts: str) -> str:
        """Return the URI of a file in this folder."""
        return storage.join(self.uri, *parts)

    def done(self) -> StepRef | None:
        """Return the finished output, or None where the step has not finished (or never ran)."""
        try:
            return StepRef.model_validate(storage.read_json(self.path(DONE)))
        except FileNotFoundError:
            return None

    def finish(self, counts: Mapping[str, int], facts: Mapping[str, object], seconds: float) -> StepRef:
        """Write `done.json`, last, and return the reference that travels on."""
        ref = StepRef(
            step=self.step, key=self.key, uri=self.uri, counts=dict(counts), facts=dict(facts), seconds=seconds
        )
        storage.write_json(self.path(DONE), ref.model_dump(mode="json"))
        return ref
