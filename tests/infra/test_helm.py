"""The Helm chart says what the manifests say. Helm's own engine lints and renders it, in an environment of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm_chart import CHART, templates
from tests.infra.test_manifests import BIN, ENVIRONMENT, objects, passes

UV = str(Path(sys.executable).with_name("uv"))
ENGINE = "helm-python-sdk==0.2.2"
RENDER = """
import json, sys
from helm_python import Chart, lint
from helm_python.errors import HelmError
folder, values = sys.argv[1], json.loads(sys.argv[2])
try:
    with Chart.load(folder) as chart:
        rendered = chart.render(values, name="evenkeel", namespace="evenkeel")
except HelmError as error:
    rendered = str(error)
print(json.dumps([lint(folder, values, strict=True)["messages"], rendered]))
"""


def test_the_chart_is_of_today() -> None:
    there = {path.name: path.read_text() for path in (CHART / "templates").iterdir()}
    assert there == templates(), "run `python -m tests.helm_chart`"


@pytest.mark.long
def test_the_values_follow_their_schema() -> None:
    passes(BIN / "check-jsonschema", "--schemafile", CHART / "values.schema.json", CHART / "values.yaml")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with Helm's engine, which is too large to install beside everything else."""
    folder = tmp_path_factory.mktemp("helm")
    python = folder / "venv" / "bin" / "python"
    for command in (
        ["venv", "-q", "--python", sys.executable, "venv"],
        ["pip", "install", "-q", "--python", python, ENGINE],
    ):
        subprocess.run([UV, *map(str, command)], cwd=folder, check=True)
    return python


def rendered(engine: Path, **values: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | str]:
    """Return what lint has to say, and the objects, or why there are none."""
    done = subprocess.run([engine, "-c", RENDER, CHART, json.dumps(values)], capture_output=True, text=True, check=True)
    messages, found = json.loads(done.stdout)
    if isinstance(found, str):
        return messages, found
    return messages, [each for text in found.values() for each in yaml.safe_load_all(text) if each]


@pytest.mark.slow
def test_the_chart_makes_the_objects_of_the_manifests(engine: Path) -> None:
    messages, found = rendered(engine, tag="abc1234", registry="registry.example.com/team", gpu={"replicas": 1})
    assert [one for one in messages if one["severity"] > 1] == []
    assert not isinstance(found, str)
    made = {(each["kind"], each["metadata"]["name"]): each for each in found}
    settings = made.pop(("ConfigMap", "prefect"))["data"]
    assert settings.pop("EVENKEEL_REGISTRY") == "registry.example.com/team"
    assert settings == {**ENVIRONMENT, "PREFECT_API_URL": "http://prefect-server:4200/api"}
    assert "helm.sh/hook" in made["Job", "evenkeel-register"]["metadata"].pop("annotations")
    wanted = json.dumps(
        {f"{each['kind']} {each['metadata']['name']}": each for each in objects() if each["kind"] != "Namespace"}
    )
    wanted = wanted.replace('"image": "evenkeel-gpu"', '"image": "registry.example.com/team/evenkeel:abc1234-gpu"')
    wanted = wanted.replace('"image": "evenkeel"', '"image": "registry.example.com/team/evenkeel:abc1234"')
    wanted = wanted.replace('"replicas": 0', '"replicas": 1')
    assert {f"{kind} {name}": each for (kind, name), each in made.items()} == json.loads(wanted)


@pytest.mark.slow
def test_what_is_left_out_and_what_is_missing(engine: Path) -> None:
    _, found = rendered(
        engine, tag="abc1234", server=False, networkPolicy=False, apiUrl="https://prefect.example.org/api"
    )
    assert not isinstance(found, str)
    names = {each["metadata"]["name"] for each in found}
    assert "evenkeel-worker" in names
    assert not names & {"prefect-server", "evenkeel-worker-gpu"}
    assert not [each for each in found if each["kind"] == "NetworkPolicy"]
    (image,) = {
        each["spec"]["template"]["spec"]["containers"][0]["image"] for each in found if each["kind"] == "Deployment"
    }
    assert image == "evenkeel:abc1234"
    assert "the commit of the image" in str(rendered(engine)[1])
    assert "replicas" in str(rendered(engine, tag="abc1234", replicas=2)[1]), "the schema knows no such value"
