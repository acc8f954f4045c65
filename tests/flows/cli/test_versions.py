"""Every verb that looks at versions or moves them, in words and as JSON, on two small versions."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evenkeel.flows.cli.main import main
from tests.flows.published import two_versions


def invoke(verb: str, recipe: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, [verb, recipe, *arguments])


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The recipe of two versions for whatever changes nothing."""
    return two_versions(tmp_path_factory.mktemp("looked-at"))


LOOKING = ("versions", "diff", "history", "verify", "prune", "takedown")
VERBS: list[tuple[str, tuple[str, ...], str, tuple[str, ...]]] = [
    ("versions", (), "v2 (current)", ()),
    ("diff", ("1", "2"), "120 rows added, 120 removed, 80 unchanged", ("added", "clusters", "groups", "recipe")),
    ("tag", ("1", "production"), "production means v1", ("version", "tags")),
    ("untag", ("newest",), "it meant v2", ("version", "tags")),
    ("rollback", ("v1", "--reason", "too few"), "v1 is the current version", ("version", "current", "held")),
    ("hold", ("--reason", "an audit"), "v2 of demo is held as the current version", ("version", "current", "held")),
    ("history", (), "2 entries in the history of demo", ()),
    ("verify", (), "all as they were written", ("files", "damages", "sound")),
    ("prune", (), "would remove: no version", ("kept", "folders", "outputs")),
    ("prune", ("--drop", "v1", "--yes"), "removed: v1", ("kept", "folders", "outputs")),
    ("takedown", ("doc-0000001",), "v1 holds 1; nothing is changed\n--yes does it", ("held", "nowhere", "republished")),
    ("takedown", ("doc-0000001", "--yes"), "excluded from all coming versions", ("held", "nowhere", "republished")),
]


@pytest.mark.parametrize(("verb", "arguments", "words", "fields"), VERBS)
@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.long
def test_a_verb_answers(
    request: pytest.FixtureRequest,
    verb: str,
    arguments: tuple[str, ...],
    words: str,
    fields: tuple[str, ...],
    as_json: bool,
) -> None:
    looks = verb in LOOKING and "--yes" not in arguments
    recipe = request.getfixturevalue("looked_at" if looks else "recipe")
    result = invoke(verb, recipe, *arguments, *(["--json"] if as_json else []))
    assert result.exit_code == 0, result.output
    if as_json:
        assert set(fields) <= set(json.loads(result.stdout) if fields else ())
    else:
        assert words in result.output


def test_a_version_is_exported(looked_at: str, tmp_path: Path) -> None:
    result = invoke("export", looked_at, "--to", "jsonl", "--out", str(tmp_path / "out"), "--once", "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert (result.exit_code, found["rows"], found["files"]) == (0, 200, 1)


@pytest.mark.parametrize(
    ("verb", "arguments", "code", "message"),
    [
        ("show", ("v9",), 1, "has no version 'v9'"),
        ("show", (), 1, "files of this version are missing"),
        ("diff", ("1", "nope"), 1, "has no version 'nope'"),
        ("tag", ("1", "a b"), 2, "is not a tag"),
        ("tag", ("1", "../x"), 2, "is not a tag"),
        ("tag", ("1", "v3"), 2, "is kept for the versions"),
        ("tag", ("1", "latest"), 2, "`latest` always means the current version"),
        ("untag", ("latest",), 2, "`latest` always means the current version"),
        ("release", (), 1, "no version of 'demo' is held"),
        ("prune", ("--drop", "latest"), 2, "is held and cannot be dropped"),
        ("takedown", (), 2, "no ids to take down"),
        ("export", ("--to", "jsonl", "--out", "s3://bucket/x"), 2, "a local folder"),
        ("untag", ("newest", "--set", "destination.catalog=postgresql://nobody@127.0.0.1:9/x"), 1, "does not answer"),
        ("untag", ("newest", "--set", "destination.catalog=sqlite:////tmp/none.db"), 1, "evenkeel repair"),
        ("untag", ("newest", "--set", "destination.uri=/elsewhere"), 1, "has no versions yet"),
        ("verify", ("--set", "dataset=other"), 1, "has no versions yet"),
    ],
)
@pytest.mark.long
def test_a_refusal_is_in_words(looked_at: str, verb: str, arguments: tuple[str, ...], code: int, message: str) -> None:
    result = invoke(verb, looked_at, *arguments)
    assert (result.exit_code, message in result.output) == (code, True), result.output
    if verb != "show":
        told = json.loads(invoke(verb, looked_at, *arguments, "--json").stdout)
        assert (told["exit_code"], message in told["message"]) == (code, True)
