"""A recipe of one's own, deployed from a folder of one's own; what a person paused on the server stays paused."""

import json
from pathlib import Path
from typing import Any

import pytest

from evenkeel.flows.cli.main import main
from evenkeel.flows.recipe import load
from evenkeel.flows.server import own
from evenkeel.flows.server.watch import LONGEST, SHORTEST, changes
from tests.flows.conftest import write_shards
from tests.served import Served

pytestmark = pytest.mark.timeout(900)
RECIPE = """
dataset: own
source: {uri: pool, groups: [topic]}
dedup: {near: null}
clustering: {levels: [40, 8], iterations: 5, resampling: 2}
sampling: {target: 240}
destination: {uri: published}
workspace: workspace
compute: inline
"""


def invoke_at(served: Served, *arguments: str) -> Any:
    from click.testing import CliRunner
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: served.addresses["api"]}):
        return CliRunner().invoke(main, arguments, catch_exceptions=False)


def deploy(folder: Path, served: Served, patch: pytest.MonkeyPatch, *options: str) -> Any:
    patch.chdir(folder)
    patch.setenv("PREFECT_API_URL", served.addresses["api"])
    done = invoke_at(served, "deploy", "recipe.yaml", *options, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


@pytest.mark.slow
def test_a_recipe_of_ones_own_is_curated_from_its_folder_on_new_files(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path / "pool")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    found = deploy(tmp_path, served, monkeypatch, "--cron", "0 3 * * 1", "--on-new-files", "--fresh-hours", "48")
    assert found["deployments"] == ["curate/own", "watch/own"]
    made = served.deployment("curate/own")
    [schedule] = made["schedules"]
    assert (schedule["schedule"]["cron"], schedule["active"], made["paused"]) == ("0 3 * * 1", True, False)

    # The watch finds the pool, which nothing was curated from yet, and starts the deployment in the person's folder.
    watching = served.start("watch/own", {"minutes": 0.05, "settle_seconds": 0.1})
    state = served.ended(watching, 400)
    assert state["type"] == "COMPLETED", state["message"]
    run = served.next_run("curate/own")
    state = served.ended(run, 400)
    assert (state["type"], state["message"]) == ("COMPLETED", "v1 published: 240 rows")
    assert (tmp_path / "published" / "own" / "versions").is_dir()

    # A form on versions needs the name of the dataset and no recipe.
    state = served.ended(served.start("tag/tag", {"dataset": "own", "version": "1", "name": "production"}), 300)
    assert state["type"] == "COMPLETED", state["message"]

    # What a person paused stays paused, whatever is deployed again.
    place = f"/deployments/{made['id']}"
    served.ask("PATCH", f"{place}/schedules/{schedule['id']}", {"active": False})
    served.ask("POST", f"{place}/pause_deployment")
    [watched] = [
        one for one in served.ask("POST", "/automations/filter", {}) if one["name"] == "evenkeel: own is kept fresh"
    ]
    served.ask("PATCH", f"/automations/{watched['id']}", {"enabled": False})
    found = deploy(tmp_path, served, monkeypatch, "--cron", "0 4 * * 1", "--on-new-files", "--fresh-hours", "24")
    again = served.deployment("curate/own")
    [schedule] = again["schedules"]
    assert (schedule["schedule"]["cron"], schedule["active"], again["paused"]) == ("0 4 * * 1", False, True)
    assert found["paused"]
    assert served.ask("GET", f"/automations/{watched['id']}")["enabled"] is False

    # What an earlier call made and this one does not ask for is not hidden; a column that is not there is refused.
    found = deploy(tmp_path, served, monkeypatch)
    assert found["starts"] == ["when files are added to or changed in the source (watch/own, made before)"]
    (tmp_path / "wrong.yaml").write_text(RECIPE.replace("topic", "topik"))
    refused = invoke_at(served, "deploy", str(tmp_path / "wrong.yaml"))
    assert refused.exit_code == 1
    assert "did you mean 'topic'?" in refused.output
    (tmp_path / "later.yaml").write_text(RECIPE.replace("uri: pool", "uri: not-yet").replace("own", "later"))
    told = invoke_at(served, "deploy", str(tmp_path / "later.yaml"))
    assert told.exit_code == 0
    assert "the source cannot be read here and now: " in told.output
    told = invoke_at(served, "deploy", "recipe.yaml", "--cron", "every monday")
    assert "the schedule cannot be read" in told.output
    assert "pydantic" not in told.output

    # A mistake of the person's is a reason and a remedy on the page of the run, and no traceback in its log.
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("240", "ten percent"))
    run = served.start("curate/on-demand", {"recipe": {"file": str(tmp_path / "recipe.yaml")}})
    state = served.ended(run, 300)
    assert (state["type"], "expected rows (50000)" in state["message"]) == ("FAILED", True)
    wanted = {"artifacts": {"flow_run_id": {"any_": [run]}}}
    # Prefect keeps the state's result beside it, as an artifact without a key, which no page shows.
    [shown] = [one for one in served.ask("POST", "/artifacts/filter", wanted) if one["key"]]
    assert shown["key"] == "failure"
    assert "RecipeError" in shown["data"]
    lines = served.ask("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}})
    assert [line["message"] for line in lines if "Traceback" in line["message"]] == []


@pytest.mark.parametrize("name", ["digits", "tumours", "pictures"])
def test_a_source_that_is_made_and_not_of_files_can_be_deployed(name: str) -> None:
    assert own._look(load(name)) == ""


def test_looks_are_rarer_while_nothing_changes_and_a_change_counts_once_it_is_whole() -> None:
    now, slept = 0.0, list[float]()
    seen = iter(["a", "a", "a", "b half", "b", "b", "b", *["b"] * 99])

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    found = list(changes(lambda: next(seen), "a", 3600, 7, sleep=sleep, clock=lambda: now))
    assert found == ["b"]
    assert slept[:3] == [SHORTEST, 2 * SHORTEST, 4 * SHORTEST]
    assert slept[3:5] == [7, 7]
    assert max(slept) == LONGEST
    assert now <= 3600 + LONGEST


def test_an_empty_or_paused_watch_starts_nothing() -> None:
    assert list(changes(lambda: "", "", 100, 1, sleep=lambda _: None, clock=iter(range(0, 10**6, 50)).__next__)) == []
    assert list(changes(lambda: "new", "", 100, 1, go_on=lambda: False)) == []
