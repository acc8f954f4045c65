"""What the deployment `feedback` is run with, from the payload of a trainer's event, by Prefect's own templates."""

from typing import Any

import pytest
import yaml

from evenkeel.flows.server.project import ROOT


@pytest.mark.long
@pytest.mark.parametrize(("version", "more"), [(4, {}), ("trial-0-2", {"trainer": "ann"})])
def test_an_event_brings_version_scores_and_perhaps_who_trained(version: int | str, more: dict[str, str]) -> None:
    from prefect.server.events.actions import RunDeployment
    from prefect.utilities.schema_tools.hydration import HydrationContext, hydrate

    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    trigger = next(one for one in deployments if one["name"] == "feedback")["triggers"][0]
    wanted = {name: trigger["parameters"][name] for name in ("version", "scores", "trainer")}
    RunDeployment._upgrade_v1_templates(wanted)
    scores: list[dict[str, Any]] = [{"metric": "accuracy", "value": 0.5, "domain": "web"}]
    event = {"payload": {"version": version, "scores": scores, **more}}
    context = HydrationContext(render_jinja=True, jinja_context={"event": event})
    found = hydrate(wanted, context)
    assert found == {"version": str(version), "scores": scores, "trainer": more.get("trainer", "")}
