"""Deployments are registered with what they promise; schedules, events and automations start what they should."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from evenkeel.flows.recipe import parse
from evenkeel.flows.server.automations import HEARTBEAT_SETTING, SECOND_LOOK, SILENCE, TAG
from evenkeel.flows.server.project import ROOT, commit
from evenkeel.tasks.publish.trail import user
from evenkeel.tasks.versions.listing import list_versions
from tests.flows.conftest import write_shards
from tests.served import Served

WRITTEN = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
OPERATE = (ROOT / "docs" / "OPERATE.md").read_text()


def notes(folder: Path, **changes: Any) -> dict[str, Any]:
    write_shards(folder / "pool")
    return {
        "dataset": "notes",
        "source": {"uri": str(folder / "pool"), "groups": ["topic"]},
        "dedup": {"near": None},
        "clustering": {"levels": [40, 8], "iterations": 5, "resampling": 2},
        "sampling": {"target": 240},
        "destination": {"uri": str(folder / "published")},
        "workspace": str(folder / "workspace"),
        "compute": "inline",
        **changes,
    }


def test_runs_of_every_deployment_send_heartbeats_often_enough_and_are_known_as_ours(tmp_path: Path) -> None:
    for each in WRITTEN:
        frequency = int(each["work_pool"]["job_variables"]["env"][HEARTBEAT_SETTING])
        assert 3 * frequency <= SILENCE.total_seconds()
        assert 2 * frequency < SECOND_LOOK.total_seconds()
        assert TAG in each["tags"]


def test_every_deployment_is_explained() -> None:
    assert [each["name"] for each in WRITTEN if f"`{each['name']}`" not in OPERATE] == []


def test_deployments_are_registered_as_written(served: Served) -> None:
    registered = yaml.safe_load((served.project / "prefect.yaml").read_text())["deployments"]
    for each in (one for one in WRITTEN if one in registered and one["work_pool"]["name"] == "cpu"):
        flow = each["entrypoint"].rpartition(".")[2]
        found = served.deployment(f"{flow}/{each['name']}")
        assert found["work_pool_name"] == each["work_pool"]["name"]
        assert found["description"] == each["description"]
        assert found["version"] == commit(ROOT)
        assert found["job_variables"] == {"env": {"EVENKEEL_COMMIT": commit(ROOT), HEARTBEAT_SETTING: "30"}}
        fields = found["parameter_openapi_schema"]["properties"]
        assert {"recipe", "dataset"} & set(fields) or flow == "crash_silent"
        whole = "anyOf" in fields.get("recipe", {})
        assert whole == each["name"].startswith("on-demand")
        limit = each.get("concurrency_limit")
        assert (found["concurrency_options"] or {}).get("collision_strategy") == (limit or {}).get("collision_strategy")
    weekly = served.deployment("curate/weekly")["schedules"]
    assert [(each["slug"], each["schedule"]["cron"], each["schedule"]["timezone"]) for each in weekly] == [
        ("monday-night", "0 3 * * 1", "Etc/UTC")
    ]


@pytest.mark.slow
def test_every_deployment_is_registered_and_prunes_dry(served: Served) -> None:
    here = [each for each in WRITTEN if each["work_pool"]["name"] == "cpu"]  # without a GPU there is no pool of one
    assert {f"{each['entrypoint'].rpartition('.')[2]}/{each['name']}" for each in here} <= served.names()
    assert served.deployment("prune/prune")["parameters"]["dry_run"] is True


@pytest.mark.slow
def test_schedule_fires(served: Served) -> None:
    deployment = served.deployment("tick/every-seconds")
    schedule = f"/deployments/{deployment['id']}/schedules/{deployment['schedules'][0]['id']}"
    served.ask("PATCH", schedule, {"active": True})
    try:
        run = served.next_run("tick/every-seconds")
        assert served.ask("GET", f"/flow_runs/{run}")["auto_scheduled"]
        assert served.ended(run)["type"] == "COMPLETED"
    finally:
        served.ask("PATCH", schedule, {"active": False})


@pytest.mark.slow
def test_scheduled_run_that_meets_another_is_dropped(served: Served) -> None:
    first = served.start("beat/one-at-a-time")
    served.until(lambda: served.ask("GET", f"/flow_runs/{first}")["state_type"] in ("PENDING", "RUNNING"), 60)
    state = served.ended(served.start("beat/one-at-a-time"))
    assert (state["type"], "concurrency" in state["message"].lower()) == ("CANCELLED", True)
    served.ask("POST", f"/flow_runs/{first}/set_state", {"state": {"type": "CANCELLING"}})
    assert served.ended(first)["type"] in ("CANCELLED", "CRASHED")


def test_event_of_new_shards_starts_a_run(served: Served) -> None:
    known = {run["id"] for run in served.runs("curate/on-new-shards")}
    served.prefect("event", "emit", "evenkeel.shards.arrived", "--resource-id", "evenkeel.dataset.docstrings")
    run = served.next_run("curate/on-new-shards", known)
    assert served.ask("GET", f"/flow_runs/{run}")["parameters"]["recipe"] == {"file": "docstrings", "overrides": []}
    served.ask("POST", f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLED"}, "force": True})


@pytest.fixture
def phone() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes notifications, and the list of what was sent there."""
    taken: list[dict[str, Any]] = []

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Take) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", taken
        server.shutdown()
        thread.join()


@pytest.fixture
def taken(served: Served, phone: tuple[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The notifications that the server sends, through a block named as EVENKEEL_NOTIFY names it."""
    address, messages = phone
    code = f"""
        from prefect.blocks.notifications import CustomWebhookNotificationBlock as Webhook
        from evenkeel.flows.server import automations
        message = {{"subject": "{{{{subject}}}}", "body": "{{{{body}}}}"}}
        Webhook(name="alerts", url={address!r}, json_data=message).save("alerts", overwrite=True)
        automations.create()
    """
    served.python(code, EVENKEEL_NOTIFY="custom-webhook/alerts")
    return messages


@pytest.mark.slow
def test_events_start_training_and_tell_people(served: Served, taken: list[dict[str, Any]]) -> None:
    known = {run["id"] for run in served.runs("train/on-published")}
    code = """
        from evenkeel.flows.events import emit
        emit("notes", "published", {"version": 7, "location": "s3://there", "rows": 240})
        emit("notes", "blocked", {"failed": [{"reason": "coverage: 12 %, at least 90 %"}], "card": "s3://card"})
    """
    served.python(code)
    assert served.ended(served.next_run("train/on-published", known))["type"] == "COMPLETED"
    assert (served.project / "trained.txt").read_text() == "notes v7 at s3://there"
    [told] = served.until(lambda: [each for each in taken if each["subject"] == "notes: version blocked"], 60)
    assert told["body"].splitlines() == [
        "notes: nothing was published.",
        "- coverage: 12 %, at least 90 %",
        "Card: s3://card",
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_start_training_and_tell_people(served: Served, tmp_path: Path, taken: list[dict[str, Any]]) -> None:
    known = {run["id"] for run in served.runs("train/on-published")}
    published = served.start("curate/on-demand", {"recipe": notes(tmp_path)})
    assert served.ended(published)["type"] == "COMPLETED"
    assert served.ended(served.next_run("train/on-published", known))["type"] == "COMPLETED"
    assert (served.project / "trained.txt").read_text().startswith("notes v1 at ")

    impossible = {"expect": "smallest_share", "scope": "group.topic", "at_least": 0.2, "severity": "block"}
    blocked = served.start("curate/on-demand", {"recipe": notes(tmp_path, gates={"add": [impossible]})})
    state = served.ended(blocked)
    assert (state["type"], "nothing was published" in state["message"]) == ("FAILED", True)
    told = served.until(lambda: [each for each in taken if "smallest_share" in each["body"]][1:] and taken, 60)
    assert {each["subject"] for each in told} >= {"notes: version blocked", "curate: curate notes Failed"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_commands_start_training_on_whatever_readers_find(served: Served, recipe: str) -> None:
    """Every command that changes what readers find emits an event with who, why and where; training starts on it."""

    def call(*arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(served.call("-m", "evenkeel.flows.cli.main", *arguments, "--json"))
        return answer

    def trained() -> str:
        known.append(served.next_run("train/on-published", known))
        assert served.ended(known[-1])["type"] == "COMPLETED"
        return (served.project / "trained.txt").read_text()

    known = [run["id"] for run in served.runs("train/on-published")]
    back = call("rollback", recipe, "v1", "--reason", "v2 has a bug")
    assert trained() == f"demo v1 at {back['location']}"
    tagged = call("tag", recipe, "v2", "production")
    assert trained() == f"demo v2 at {tagged['location']}"
    call("release", recipe)
    gone = pq.read_table(f"{back['location']}/data", columns=["ek_id"])["ek_id"][0].as_py()
    done = call("takedown", recipe, gone, "--reason", "asked", "--republish", "--yes")["republished"]
    assert trained() == f"demo v3 at {done['location']}"

    def events() -> dict[str, Any]:
        wanted = {"event": {"prefix": ["evenkeel.version."]}, "resource": {"id": ["evenkeel.dataset.demo"]}}
        found = served.ask("POST", "/events/filter", {"filter": wanted | {"order": "ASC"}, "limit": 50})["events"]
        return {one["event"].rpartition(".")[2]: one["payload"] for one in found}

    # The server runs automations as soon as it has an event, and writes the event where it can be asked for later.
    names = {"rolled-back", "promoted", "released", "withdrawn", "published"}
    served.until(lambda: names <= set(events()), 60)
    told = events()
    same = {"dataset": "demo", "version": 1, "location": back["location"], "rows": back["rows"], "who": user()}
    assert told.pop("rolled-back") == {**same, "previous": 2, "reason": "v2 has a bug"}
    second = {"version": 2, "location": tagged["location"], "tag": "production"}
    assert told.pop("promoted") == {**same, **second, "previous": None, "reason": ""}
    assert told.pop("released") == {**same, "previous": None, "reason": ""}
    assert told.pop("withdrawn") == {**same, "previous": None, "reason": "asked", "taken_down": 1, "replaced_by": 3}
    third = {"version": 3, "location": done["location"], "rows": back["rows"] - 1, "current": True}
    assert told == {"published": {**same, **third, "previous": 1, "reason": "asked"}}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_deployment_runs(served: Served, tmp_path: Path) -> None:
    def run(deployment: str, /, **parameters: Any) -> dict[str, Any]:
        flow = deployment.partition("/")[0]
        given = {"recipe": small} if flow in ("curate", "diagnose") else {"dataset": "notes"}
        state = served.ended(served.start(deployment, {**given, **parameters}))
        assert state["type"] == "COMPLETED", state["message"]
        return state

    small = notes(tmp_path)
    run("curate/weekly")
    small = notes(tmp_path, sampling={"target": 200})
    run("curate/on-demand")
    row = pq.read_table(tmp_path / "pool" / "shard-0.parquet", columns=["id"])["id"][0].as_py()
    run("tag/tag", version="1", name="production")
    run("rollback/rollback", version="v1")
    run("hold/hold", reason="an audit")
    run("release/release")
    run("prune/prune")
    run("prune/prune", drop=["2"], dry_run=False)
    run("restore/restore", version="v2")
    repaired = served.start("repair/repair", {"destination": small["destination"]["uri"]})
    assert served.ended(repaired)["type"] == "COMPLETED"
    run("export/export", version="v1", to="jsonl", folder=str(tmp_path / "out"))
    assert list((tmp_path / "out").glob("*.jsonl.zst"))
    run("takedown/takedown", ids=[row], reason="asked for", dry_run=False)
    run("diagnose/diagnose")
    by_number = {each.version: each for each in list_versions(parse(small).destination, "notes", small["workspace"])}
    assert by_number[1].current
    assert 2 in by_number
    assert "production" in by_number[1].tags
    assert set(by_number) == {1, 2}
    run("curate/on-new-shards", force=True)
    newest = max(list_versions(parse(small).destination, "notes", small["workspace"]), key=lambda each: each.version)
    assert row not in pq.read_table(f"{newest.location}/data", columns=["id"])["id"].to_pylist()
