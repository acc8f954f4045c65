"""What a trainer reports by an event alone is recorded, and the last report of a round brings the next one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from evenkeel.tasks.feedback.rounds import mixture_folder, read_rounds
from evenkeel.tasks.feedback.table import read_feedback
from evenkeel.tasks.publish.config import DestinationConfig
from tests.feedback.serving import loop_document, served_loop
from tests.served import Served

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(3600)]
TRIALS = 4


def emit(server: Served, payload: dict[str, Any]) -> None:
    """Emit the event as a trainer does that has neither Prefect nor our package: one HTTP request."""
    event = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "evenkeel.training.scored",
        "resource": {"prefect.resource.id": "evenkeel.dataset.notes"},
        "payload": payload,
    }
    answer = server.api.post("/events", json=[event])
    assert answer.is_success, answer.text


def test_scores_of_an_event_are_recorded_and_the_last_of_a_round_brings_the_next(tmp_path: Path) -> None:
    document = loop_document(tmp_path, rounds=2, trials=TRIALS)
    config, workspace = DestinationConfig(uri=document["destination"]["uri"]), document["workspace"]
    with served_loop(tmp_path, document, ("mix", "feedback")) as server:
        first = server.start("mix/mix", {"wait_hours": 0})  # no late run among the runs
        assert server.ended(first, 1200)["type"] == "COMPLETED"
        trials = [trial.name for trial in read_rounds(mixture_folder(config.uri, "notes")).rounds[0].trials]

        score = {"metric": "balanced_accuracy", "value": 0.5, "error": 0.01}
        emit(server, {"version": "trial-0-0", "scores": [{**score, "domain": "topic-99"}]})
        refused = server.next_run("feedback/feedback", seconds=300)
        state = server.ended(refused, 600)
        assert (state["type"], "no domain 'topic-99'" in state["message"]) == ("FAILED", True), state
        assert not read_feedback(config, "notes", workspace)

        emit(server, {"version": 1, "trainer": "far away", "scores": [{**score, "value": 0.4}]})
        for place, trial in enumerate(trials[1:]):  # all at once: reports wait for each other
            emit(server, {"version": trial, "scores": [{**score, "value": 0.5 + place / 10}]})
        second = server.next_run("mix/mix", [first], 1200)
        assert server.ended(second, 1200)["type"] == "COMPLETED"
        ended = {run["id"]: server.ended(run["id"], 600)["type"] for run in server.runs("feedback/feedback")}
        assert sorted(ended.values()) == ["COMPLETED"] * TRIALS + ["FAILED"]
    found = read_feedback(config, "notes", workspace)
    assert {one.trial: one.score.value for one in found} == dict(zip(trials, (0.4, 0.5, 0.6, 0.7), strict=True))
    assert [one.trainer for one in found if one.trial == trials[0]] == ["far away"]
    rounds = read_rounds(mixture_folder(config.uri, "notes")).rounds
    assert [one.round for one in rounds] == [0, 1]
    assert len(rounds[1].trials) == TRIALS
