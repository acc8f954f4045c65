"""A version waits for a person: approved it is published; declined or unanswered it stays invisible."""

from pathlib import Path
from typing import Any

import pytest

from evenkeel.flows.recipe import parse
from evenkeel.tasks.versions.listing import list_versions
from tests.flows.conftest import write_shards
from tests.served import Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


class Waiting:
    """A run of a recipe that asks for approval, suspended on the server."""

    def __init__(self, served: Served, document: dict[str, Any], hours: float = 72) -> None:
        self.served, self.document = served, {**document, "gates": {"approval": "required", "approval_hours": hours}}
        self.run = served.start("curate/on-demand", {"recipe": self.document})
        if hours > 1:
            self.suspended()

    def look(self) -> dict[str, Any]:
        return dict(self.served.ask("GET", f"/flow_runs/{self.run}"))

    def suspended(self) -> None:
        self.served.until(lambda: self.look()["state_name"] == "Suspended", 600)

    def answer(self, **decision: Any) -> str:
        body = {"run_input": decision}
        return str(self.served.ask("POST", f"/flow_runs/{self.run}/resume", body)["status"])

    def versions(self) -> list[int]:
        recipe = parse(self.document)
        return [each.version for each in list_versions(recipe.destination, recipe.dataset, recipe.workspace)]

    def tasks_that_ran(self) -> set[str]:
        """Return the names of the steps that did their work more than once."""
        wanted = {"flow_runs": {"id": {"any_": [self.run]}}}
        found = [
            each["name"]
            for each in self.served.ask("POST", "/task_runs/filter", wanted)
            if each["state_name"] == "Completed"
        ]
        return {name for name in found if found.count(name) > 1}


def test_an_approved_version_is_published(served: Served, document: dict[str, Any], tmp_path: Path) -> None:
    waiting = Waiting(served, document)
    assert waiting.versions() == []
    keys = {
        each["key"] for each in served.ask("POST", "/artifacts/filter", {"flow_runs": {"id": {"any_": [waiting.run]}}})
    }
    assert {"notes-card", "notes-balance"} <= keys
    assert waiting.answer() == "REJECT"  # resumed without a decision
    assert waiting.answer(publish=True, reason="looked at it") == "ACCEPT"
    assert served.ended(waiting.run, 600)["type"] == "COMPLETED"
    assert waiting.versions() == [1]
    assert waiting.tasks_that_ran() == set()


def test_an_answer_holds_for_the_rows_it_was_given_for(
    served: Served, document: dict[str, Any], tmp_path: Path
) -> None:
    waiting = Waiting(served, document)
    write_shards(tmp_path / "pool" / "later", rows=300, shards=1, seed=3)
    assert waiting.answer(publish=True) == "ACCEPT"
    served.until(lambda: waiting.look()["state_name"] != "Suspended", 300)
    waiting.suspended()
    assert waiting.versions() == []
    assert waiting.answer(publish=True) == "ACCEPT"
    assert served.ended(waiting.run, 600)["type"] == "COMPLETED"
    assert waiting.versions() == [1]


def test_a_declined_version_is_blocked_and_invisible(served: Served, document: dict[str, Any]) -> None:
    waiting = Waiting(served, document)
    assert waiting.answer(publish=False, reason="topic-3 looks wrong") == "ACCEPT"
    state = served.ended(waiting.run, 600)
    assert state["type"] == "FAILED"
    assert "a person declined this version; nothing was published\n  found: topic-3 looks wrong" in state["message"]
    assert waiting.versions() == []
    blocked = {
        "filter": {
            "event": {"name": ["evenkeel.version.blocked"]},
            "related": {"id": [f"prefect.flow-run.{waiting.run}"]},
        }
    }
    [event] = served.until(lambda: served.ask("POST", "/events/filter", blocked)["events"], 60)
    assert event["payload"]["failed"][0]["reason"].endswith("topic-3 looks wrong")


def test_an_unanswered_question_fails_the_run(served: Served, document: dict[str, Any]) -> None:
    waiting = Waiting(served, document, hours=0.0005)
    state = served.ended(waiting.run, 600)
    assert (state["type"], state["message"]) == ("FAILED", "The flow was paused and never resumed.")
    assert waiting.versions() == []
