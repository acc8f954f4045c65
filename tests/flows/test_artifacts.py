"""A server that restarts costs a run some patience, one that stays away an artifact; neither costs the run."""

import logging
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings

from evenkeel.flows import artifacts, retrying
from evenkeel.flows.web import deployment_of_run


def test_a_server_that_comes_back_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "PAUSES", (0.0, 0.0))
    calls = []

    def create(text: str, *, key: str) -> None:
        calls.append((text, key))
        if len(calls) < 3:
            raise httpx.ConnectError("connection refused")

    artifacts.show(create, "card", key="notes-card")
    assert calls == [("card", "notes-card")] * 3


def test_one_that_stays_away_is_told_and_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retrying, "PAUSES", (0.0,))

    def create() -> None:
        raise httpx.ConnectError("connection refused")

    with caplog.at_level(logging.WARNING):
        artifacts.show(create)
    assert "an artifact could not be shown" in caplog.text


def test_a_mistake_of_ours_is_no_matter_of_patience() -> None:
    def create() -> None:
        raise ValueError("artifact keys must be lower case")

    with pytest.raises(ValueError, match="lower case"):
        artifacts.show(create)


def test_a_run_knows_its_deployment_while_the_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = uuid4()
    run = FlowRun(flow_id=uuid4(), deployment_id=deployment)
    monkeypatch.setattr(FlowRunContext, "get", lambda: SimpleNamespace(flow_run=run))
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert deployment_of_run() == deployment
