"""What is wrong is named, with the remedy, and one broken thing hides no other."""

from pathlib import Path
from typing import Any

import pytest

from evenkeel.flows.recipe import parse
from evenkeel.flows.server.diagnose import CHECKS, Finding, examine
from tests.served import Served


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Any:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    def look(document: dict[str, Any], api: str | None) -> dict[str, Finding]:
        with (
            temporary_settings({PREFECT_API_URL: api})
            if api
            else temporary_settings(restore_defaults={PREFECT_API_URL})
        ):
            return {finding.check: finding for finding in examine(parse(document)).result}

    return look


def test_all_is_well_with_a_server_and_a_worker(findings: Any, document: dict[str, Any], served: Served) -> None:
    found = findings(document, served.addresses["api"])
    assert set(found) == set(CHECKS)
    assert {name: each.found for name, each in found.items() if not each.ok} == {}
    assert found["source"].found.startswith("3 shards, ")


@pytest.mark.long
def test_everything_that_is_wrong_is_named(findings: Any, document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    document["source"]["uri"] = str(tmp_path / "nowhere" / "*.parquet")
    document["destination"] = {"uri": str(tmp_path / "file" / "published"), "catalog": "postgresql://127.0.0.1:9/none"}
    document["compute"] = "nowhere"
    found = findings(document, "http://127.0.0.1:9/api")
    wrong = {name: each for name, each in found.items() if not each.ok}
    assert set(wrong) == {"server", "workers", "source", "destination", "catalog", "compute"}
    assert "no Prefect server answers at http://127.0.0.1:9/api" in wrong["server"].found
    assert "evenkeel serve" in wrong["server"].remedy
    assert "no shard" in wrong["source"].found
    assert "the catalog does not answer" in wrong["catalog"].found
    assert "unknown compute 'nowhere'" in wrong["compute"].found


def test_a_run_without_a_server_is_told_how_to_get_one(findings: Any, document: dict[str, Any]) -> None:
    assert "evenkeel serve" in findings(document, None)["server"].remedy
