"""The recipe of the page on targets runs as it stands there, and its gate lets the version pass."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from evenkeel.flows.curate import curate
from evenkeel.flows.recipe import parse

PAGE = Path(__file__).parents[2] / "docs" / "TARGETS.md"
TOPICS, ROWS, COPIED, KEPT = 6, 720, 4, 70


def test_the_target_of_the_page_is_made_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"```python\n(import inspect.*?)```", PAGE.read_text(), re.S)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    exec(found.group(1), {})
    lines = Path("arrays.txt").read_text().splitlines()
    assert len(lines) > 300
    assert any("array" in line for line in lines)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_the_recipe_of_the_page_finds_what_it_is_asked_for(tmp_path: Path) -> None:
    """Texts of six packages, a sixth of each other's words among them, and twenty of one as the target."""
    rng = np.random.default_rng(2)
    words = np.array([[f"{a}{b}{c}o" for b in "aeiou" for c in "mnprst"] for a in "bdfgkl"])

    def text(topic: int) -> str:
        return " ".join([*rng.choice(words[topic], 10), *rng.choice(words.ravel(), 2)])

    texts = [text(row % TOPICS) for row in range(ROWS)]
    table = {
        "id": [f"r{row}" for row in range(ROWS)],
        "text": texts,
        "package": [f"p{row % TOPICS}" for row in range(ROWS)],
    }
    pq.write_table(pa.table(table), tmp_path / "docstrings.parquet")
    wanted = [*texts[3 : 3 + COPIED * TOPICS : TOPICS], *(text(3) for _ in range(20))]
    (tmp_path / "arrays.txt").write_text("\n".join(wanted))

    found = re.search(r"```yaml\n(dataset: arrays.*?)```", PAGE.read_text(), re.S)
    assert found is not None
    document = yaml.safe_load(found.group(1))
    document["source"]["uri"] = str(tmp_path / "docstrings.parquet")
    document["target_set"]["uri"] = str(tmp_path / document["target_set"]["uri"])
    document["sampling"]["target"] = KEPT
    document["destination"]["uri"] = str(tmp_path / "published")
    document |= {"workspace": str(tmp_path / "workspace"), "compute": "inline"}
    done = curate(parse(document))
    assert done["status"] == "published"
    assert done["steps"]["dedup"]["counts"]["excluded"] == COPIED
    rows = pd.read_parquet(done["data"])
    assert len(rows) == KEPT
    assert (rows["package"] == "p3").mean() > 0.9
    assert not set(rows["text"]) & set(wanted)
    card = Path(done["card"]).read_text()
    assert f"{COPIED} equal and 0 nearly equal a row of the target" in card
