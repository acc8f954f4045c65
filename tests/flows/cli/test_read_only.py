"""Verbs that only look leave destination, catalog and workspace as they found them, to the byte and to the second."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenkeel.flows.cli.main import VERBS
from evenkeel.flows.curate import curate
from evenkeel.flows.recipe import load
from evenkeel.infra.errors import StorageError
from evenkeel.infra.writable import require_writable
from tests.flows.cli.calls import invoke
from tests.flows.conftest import lopsided

LOOKING: dict[str, list[tuple[str, ...]]] = {
    "plan": [(), ("--no-probe",), ("--set", "sampling.target=100")],
    "versions": [()],
    "show": [(), ("v1",), ("--dropped", "2")],
    "history": [()],
    "why": [("row-0-1",), ("row-0-1", "--version", "v1")],
    "whence": [("row-0-1",), ("row-0-1", "--version", "v1")],
    "diff": [("v1", "latest")],
    "compare": [("v1", "pool"), ("latest", "target"), ("group.topic=topic-1", "source=shard-1.parquet")],
    "value": [(), ("--over", "group.topic", "--held", "nothing")],
    "verify": [()],
    "prune": [(), ("--set", "destination.retention.keep_days=0", "--set", "destination.retention.grace_hours=0")],
    "takedown": [("row-0-1",), ("row-0-1", "--republish")],
    "diagnose": [()],
    "quarantine": [(), ("--version", "v1")],
    "curate": [()],
}
"""Each verb that only looks, with the arguments it is tried with after the recipe."""
OUTSIDE = {"sweep", "export", "evaluate"}
"""Verbs that write outside of destination and catalog: step outputs into the workspace, a folder that is named."""
ELSEWHERE = {"owns"}
"""Verbs that open neither destination nor workspace, and write nothing."""
CHANGING = {
    "run",
    "deploy",
    "backfill",
    "tag",
    "untag",
    "rollback",
    "hold",
    "release",
    "restore",
    "serve",
    "feedback",
    "mix",
}
WITHOUT_RECIPE: dict[str, list[tuple[str, ...]]] = {"schema": [()], "repair": [("DESTINATION",)]}
"""Verbs that only look, with all of their arguments."""


def contents(*folders: Path) -> dict[str, tuple[int, str]]:
    """Return when each file and folder was last changed and what each file holds, by path."""
    paths = [path for folder in folders if folder.exists() for path in (folder, *folder.rglob("*"))]
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in paths
    }


def test_every_verb_is_known_to_look_or_to_change() -> None:
    assert sorted([*LOOKING, *OUTSIDE, *ELSEWHERE, *CHANGING, *WITHOUT_RECIPE]) == sorted(VERBS)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_who_looks_changes_nothing(recipe_file: Path, document: dict[str, Any], tmp_path: Path) -> None:
    destination, workspace = Path(document["destination"]["uri"]), Path(document["workspace"])
    (tmp_path / "excluded.txt").write_text("row-0-7\n")
    np.save(tmp_path / "target.npy", lopsided(30, seed=5)[0])
    document["target_set"] = {"uri": str(tmp_path / "target.npy")}
    document["dedup"]["exclude"] = [{"by": "ids", "uri": str(tmp_path / "excluded.txt")}]
    recipe_file.write_text(json.dumps(document))
    for verb in ("plan", "versions", "prune", "diagnose", "quarantine"):  # before there is anything
        invoke(verb, recipe_file)
    curate(load(str(recipe_file), ()), dry_run=True)
    assert contents(destination, workspace) == {}

    code, output = invoke("run", recipe_file)
    assert code == 0, output
    document["source"]["uri"] = str(tmp_path / "pool" / "shard-[01].parquet")
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(document))
    for file in (recipe_file, other):
        for verb, calls in LOOKING.items():
            for arguments in calls:
                before = contents(destination, workspace)
                code, output = invoke(verb, file, *arguments)
                assert code in (0, 1), output
                assert code == 0 or verb in ("diagnose", "curate"), output
                assert contents(destination, workspace) == before, (verb, arguments)
    before = contents(destination, workspace)
    for verb, calls in WITHOUT_RECIPE.items():
        for arguments in calls:
            code, output = invoke(verb, *(one.replace("DESTINATION", str(destination)) for one in arguments))
            assert code == 0, output
    curate(load(str(other), ()), dry_run=True)
    assert contents(destination, workspace) == before

    for verb, target in (("sweep", "sweep.svg"), ("export", "exported")):
        before = contents(destination)
        options = ("--targets", "50") if verb == "sweep" else ("--to", "jsonl")
        code, output = invoke(verb, recipe_file, *options, "--out", tmp_path / target)
        assert code == 0, output
        assert contents(destination) == before, verb


def test_a_place_that_takes_no_files_is_found_without_writing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = contents(tmp_path)
    require_writable(str(tmp_path / "a" / "b"))
    with pytest.raises(StorageError, match="cannot write"):
        require_writable(str(tmp_path / "file" / "below"))
    assert contents(tmp_path) == before
