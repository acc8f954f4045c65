"""A round that lacks scores for so many hours goes on without them; one that is over by then is left alone."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evenkeel.tasks.feedback.rounds import mixture_folder, read_rounds
from tests.feedback.serving import loop_document, served_loop

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(3600)]


def test_a_round_goes_on_late_without_what_it_lacks_and_no_other_round_does(tmp_path: Path) -> None:
    document = loop_document(tmp_path, rounds=2, trials=4)
    folder = mixture_folder(document["destination"]["uri"], "notes")
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps([{"metric": "balanced_accuracy", "value": 0.5, "error": 0.01}]))
    with served_loop(tmp_path, document, ("mix",)) as server:
        first = server.start("mix/mix")
        assert server.ended(first, 1200)["type"] == "COMPLETED"
        late = server.next_run("mix/mix", [first])
        due = server.ask("GET", f"/flow_runs/{late}")["expected_start_time"]
        assert datetime.fromisoformat(due) > datetime.now(UTC) + timedelta(hours=5)
        for trial in ("trial-0-0", "trial-0-1", "trial-0-2"):
            report = ("feedback", str(tmp_path / "recipe.yaml"), trial, "--scores", str(scores))
            server.call("-m", "evenkeel.flows.cli.main", *report)
        server.ask("POST", f"/flow_runs/{late}/set_state", {"state": {"type": "SCHEDULED"}, "force": True})  # now
        assert server.ended(late, 1200)["type"] == "COMPLETED"
        assert [one.without for one in read_rounds(folder).rounds] == [[], ["trial-0-3"]]

        again = server.start("mix/mix", {"late": True, "only_round": 0})
        state = server.ended(again, 1200)
        assert (state["type"], state["message"]) == ("COMPLETED", "round 0 is over, or never was")
    assert len(read_rounds(folder).rounds) == 2
