"""`evenkeel compare` and `evenkeel value` name what they are given wrongly, and answer odd targets soundly."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.flows.cli.calls import invoke
from tests.flows.conftest import DIMENSION, lopsided

WRONG = [
    ("target", np.zeros((0, DIMENSION)), "empty"),
    ("target", np.ones((3, 5)), "dimension"),
    ("target", np.full((3, DIMENSION), np.nan), "not finite"),
    ("group.nope=1", None, "no group column 'nope'"),
    ("group.topic=nope", None, "has no rows in this pool"),
    ("group.topic", None, "names no set of rows"),
    ("source=nope", None, "no shard of the pool"),
    ("v9", None, "no version 'v9'"),
    ("other@v1", None, "has no versions yet"),
    ("foo=bar", None, "names no set of rows"),
    ("file=missing.txt", None, "is not there"),
]


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.slow
def test_sets_and_sources_by_name(recipe_file: Path, document: dict[str, Any], tmp_path: Path) -> None:
    code, output = invoke("compare", recipe_file, "latest", "pool")
    assert code != 0
    assert "no versions yet" in output
    assert invoke("run", recipe_file)[0] == 0
    target = tmp_path / "target.npy"

    def call(verb: str, *arguments: str, aim: np.ndarray | None = None) -> tuple[int, str]:
        changed = dict(document)
        if aim is not None:
            np.save(target, aim.astype(np.float32))
            changed["target_set"] = {"uri": str(target)}
        recipe_file.write_text(json.dumps(changed))
        return invoke(verb, recipe_file, *arguments)

    for name, aim, message in WRONG:
        code, output = call("compare", "latest", name, aim=aim)
        assert code in (1, 2), (name, output)
        assert message in output, (name, output)
        assert "unforeseen" not in output
        assert "Traceback" not in output
    for arguments in [("latest", "target"), ("target", "pool")]:
        assert "no target" in call("compare", *arguments)[1]
    assert "target_set" in call("value")[1]
    vectors, topic = lopsided(1200)
    for aim in (vectors[:1], vectors, np.concatenate([vectors, vectors])):  # one row, equal to the pool, larger
        code, output = call("compare", "latest", "target", "--json", aim=aim)
        assert code == 0, output
        found = json.loads(output)
        assert [one["by"] for one in found["distances"]] == ["mmd", "frechet", "transport", "kl"]
        assert found["rows_b"] == len(aim)
    assert "target (2,400 rows)" in call("compare", "pool", "target", aim=np.concatenate([vectors, vectors]))[1]
    wanted = vectors[topic == 9][:20]
    code, output = call("value", "--over", "group.topic", aim=wanted)
    assert code == 0, output
    assert output.startswith("group.topic=topic-9 brings v1 nearest to the target"), output
    assert "says not what the sources are" in call("value", "--over", "topic", aim=wanted)[1]
    assert "no version 'v7'" in call("value", "--held", "v7", aim=wanted)[1]
    np.save(tmp_path / "offer.npy", wanted)
    code, output = call("value", "--over", "source", "--file", str(tmp_path / "offer.npy"), "--json", aim=wanted)
    assert code == 0, output
    assert json.loads(output)["sources"][0]["name"] == f"file={tmp_path / 'offer.npy'}"
