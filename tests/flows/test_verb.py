"""Errors on the command line: foreseen or not, a sentence; the traceback only where it is asked for."""

import json

import pytest

from evenkeel.flows.cli.verb import reported
from evenkeel.infra.errors import RecipeError


def test_an_unforeseen_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, reported(as_json=False):
        raise KeyError("column")
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("unforeseen error: KeyError: 'column'")
    assert "evenkeel --debug" in said
    assert "Traceback" not in said
    monkeypatch.setenv("EVENKEEL_DEBUG", "1")
    with pytest.raises(KeyError), reported(as_json=False):
        raise KeyError("column")


def test_errors_are_json_where_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for error, code in ((RecipeError("a field"), 2), (OSError("a disk"), 1)):
        with pytest.raises(SystemExit) as left, reported(as_json=True):
            raise error
        assert left.value.code == code
        found = json.loads(capsys.readouterr().out)
        assert (found["error"], found["exit_code"]) == (type(error).__name__, code)
