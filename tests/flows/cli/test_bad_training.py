"""What a trainer cannot be given is named by `plan` before the work and stops a `run`, each with a real recipe."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flows.cli.calls import invoke

ROWS = 400


def recipe(folder: Path, sections: dict[str, Any]) -> Path:
    """Write a recipe over 400 rows of 40 sites, and of two sizes, of which one has a ninth of them."""
    rows = [
        {
            "id": f"r{n}",
            "text": f"topic {n % 7} word {n}",
            "site": f"s{n % 40}",
            "big": "ab"[n % 9 == 0],
            "half": "xy"[n % 9 == 0],
            "length": n / 10,
            "vector": [n % 7, n % 3, n / 900],
            "guide": [1.0 * (n % 5), 1.0, 0.5],
            "uneven": [1.0 * (n % 5), 1.0, 0.5][: 2 if n == 7 else 3],
            "answer": [1.0 * (n % 4), 2.0],
        }
        for n in range(ROWS)
    ]
    (folder / "pool.jsonl").write_text("\n".join(map(json.dumps, rows)))
    labelled = [("r1", "x", "anchors:1"), ("r2", "y", "somebody"), ("r3", "x", "anchors:1")]
    for name, more in (("labels", []), ("strays", [("nobody", "x", "anchors:1")])):
        lines = [json.dumps(dict(zip(("id", "label", "who"), one, strict=True))) for one in labelled + more]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    document = {
        "dataset": "bad",
        "source": {"uri": str(folder / "pool.jsonl"), "groups": ["site", "big", "half"], "rows_per_block": 128},
        "dedup": {"near": None},
        "clustering": {"levels": [12, 4]},
        "sampling": {"strategy": "flat", "target": 200},
        "destination": {"uri": str(folder / "published")},
        "workspace": str(folder / "workspace"),
        "compute": "inline",
    }
    file = folder / "recipe.yaml"
    file.write_text(json.dumps({**document, **json.loads(json.dumps(sections).replace("FOLDER", str(folder)))}))
    return file


def said(*arguments: object) -> tuple[int, str]:
    """Return the exit code of a verb and what it says, as one line; its last words are no traceback."""
    code, output = invoke(*arguments)
    assert "Traceback" not in output, output
    return code, " ".join(output.split())


REFUSED = [
    (
        {"stages": [{"name": "a", "share": 0.3}, {"name": "b", "share": 0.3}]},
        "the shares sum to 0.6, not to 1: a 0.3, b 0.3",
    ),
    (
        {"stages": [{"name": "a", "share": 1, "strategy": {"name": "uniform", "groups": ["nowhere"]}}]},
        "stages reads group.nowhere, not among site, big, half",
    ),
    ({"stages": [{"name": "a", "share": 1, "strategy": {"name": "weighted", "by": "x"}}]}, "draws rows by weights"),
    (
        {"stages": [{"name": "a", "share": 1, "raise": {"seite": {"s1": 2}}}]},
        "stages reads group.seite, not among site",
    ),
    ({"weights": [{"name": "even", "margins": {"big": {"a": 0.9, "b": 0.3}}}]}, "the shares of big sum to 1.2"),
    ({"splits": {"test": 0.7, "validation": 0.4}}, "nothing is left to train on"),
]


@pytest.mark.parametrize(("sections", "message"), REFUSED)
@pytest.mark.parametrize("verb", ["plan", "run"])
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_recipe_that_cannot_be_meant_is_refused_at_once(
    tmp_path: Path, verb: str, sections: dict[str, Any], message: str
) -> None:
    code, output = said(verb, recipe(tmp_path, sections))
    assert (code, message in output) == (2, True), output
    assert not (tmp_path / "workspace").exists()


RAISED = [{"name": "a", "share": 0.9}, {"name": "b", "share": 0.1, "raise": {"site": {"s41": 3}}}]
STOPPED = [
    ({"stages": RAISED}, "the stage b raises site=s41, and no row of the pool has it", "did you mean s4"),
    (
        {"weights": [{"name": "even", "margins": {"site": {"s1": 0.5, "s99": 0.5}}}]},
        "site=s99 is to have 0.5; no row of the pool has it",
        "loosen that margin",
    ),
    (
        {"weights": [{"name": "even", "margins": {"big": {"a": 0.9, "b": 0.1}, "half": {"x": 0.2, "y": 0.8}}}]},
        "no weights meet the margins of big, half at once",
        "loosen that margin",
    ),
    (
        {"weights": [{"name": "even", "margins": {"length": 50.0}}]},
        "the mean of length is to be 50, and the rows have 0 to 39.9",
        "ask for a mean that rows have",
    ),
    (
        {"weights": [{"name": "even", "margins": {"big": {"a": 0.5, "b": 0.4}}}]},
        "the shares of big sum to 0.9, and every value that occurs is named",
        "let them sum to 1",
    ),
    ({"pairs": {"guard": {"guide": "uneven"}}}, "in 'uneven' have 2 to 3 dimensions", "embed all rows with one model"),
    (
        {"pairs": {"guard": {"guide": "guide", "positive": "answer"}}},
        "differ in dimension: 3 in 'guide', 2 in 'answer'",
        "embed both with the same guide",
    ),
    ({"pairs": {"guard": {"guide": "site"}}}, "the column 'site' holds no vectors", "the guide's vectors"),
    ({"order": {"by": "los"}}, "there is no column 'los'", "correct the name"),
]


@pytest.mark.parametrize(("sections", "message", "remedy"), STOPPED)
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_what_the_source_rules_out_is_planned_and_stops_a_run_before_the_work(
    tmp_path: Path, sections: dict[str, Any], message: str, remedy: str
) -> None:
    file = recipe(tmp_path, sections)
    _, output = said("plan", file, "--no-probe")
    assert "CANNOT PASS: " in output
    assert message in output
    assert remedy in output
    code, output = said("run", file)
    assert (code != 0, message in output, remedy in output) == (True, True, True), output
    folders = {folder.name for folder in (tmp_path / "workspace" / "bad").iterdir()}
    assert not folders & {"cluster", "sample", "embed"}, "nothing was done but reading"
    _, output = said("plan", file, "--no-probe")
    assert message in output, "and a plan that finds the source read says so too"


FEW = {"name": "b", "share": 0.5, "raise": {"big": {"a": 0}}, "max_repeats": 1}
FOUND = [
    (
        {"splits": {"by": "group.big", "test": "5%"}},
        "will warn: splits: the test split is 0.05 of the rows, and no value of group.big has less than 0.11",
        "no whole groups make up the test split",
    ),
    (
        {"splits": {"even": "group.site", "test": 0.6, "validation": 0.3}, "sampling": {"target": 40}},
        "",
        "a split leaves nothing to train on",
    ),
    (
        {"stages": [{"name": "a", "share": 0.5}, FEW]},
        "will warn: stages: the stage b may take 45 rows, each at most once, and is of about 100 copies",
        "the rows that a stage may take are too few",
    ),
    (
        {"labels": {"uri": "FOLDER/strays.jsonl"}, "sampling": {"strategy": {"name": "to-label"}, "target": 20}},
        "",
        "1 label(s) are of rows that the pool does not have",
    ),
    (
        {
            "labels": {"uri": "FOLDER/labels.jsonl", "asked_by": "who"},
            "sampling": {"strategy": {"name": "to-label", "rule": "tailor"}, "target": 20},
        },
        "",
        "who asked for a row is not told as a batch tells it",
    ),
]


@pytest.mark.parametrize(("sections", "warning", "message"), FOUND)
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_what_only_the_kept_rows_decide_stops_a_run_with_its_name(
    tmp_path: Path, sections: dict[str, Any], warning: str, message: str
) -> None:
    file = recipe(tmp_path, sections)
    _, output = said("plan", file, "--no-probe")
    assert warning in output
    code, output = said("run", file)
    assert (code != 0, message in output) == (True, True), output
    assert not list((tmp_path / "published").rglob("manifest.json"))
