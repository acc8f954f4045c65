"""The files for containers, Kubernetes and systemd say what their own linters and schemas accept, and no secrets.

Nothing here starts a container, a pod or a unit.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
INFRA = ROOT / "infra"
BIN = Path(sys.executable).parent
IMAGES = [INFRA / "images" / "Dockerfile", INFRA / "images" / "Dockerfile.gpu"]
KUBERNETES = sorted((INFRA / "kubernetes").glob("*.yaml"))
INGRESS = INFRA / "kubernetes" / "ingress" / "ingress.yaml"
UNITS = sorted((INFRA / "systemd").glob("*.service"))
ENVIRONMENT = dict(
    line.split("=", 1) for line in (INFRA / "prefect.env").read_text().splitlines() if line and not line.startswith("#")
)
COMPOSE = yaml.safe_load((INFRA / "compose.yaml").read_text())


def passes(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def objects() -> list[dict[str, Any]]:
    return [each for path in KUBERNETES for each in yaml.safe_load_all(path.read_text())]


def containers() -> list[dict[str, Any]]:
    specs = [each["spec"]["template"]["spec"] for each in objects() if each["kind"] in ("Deployment", "Job")]
    return [container for spec in specs for container in spec["containers"]]


@pytest.mark.parametrize(
    "path", [path for path in IMAGES if path.suffix != ".dockerignore"], ids=lambda path: path.name
)
def test_images_pass_their_linter(path: Path) -> None:
    passes(BIN / "hadolint", path)


def test_compose_file_follows_its_schema() -> None:
    passes(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", INFRA / "compose.yaml")


@pytest.mark.parametrize("path", [*KUBERNETES, INGRESS], ids=lambda path: path.stem)
@pytest.mark.long
def test_manifests_follow_their_schema(path: Path) -> None:
    passes(BIN / "kubernetes-validate", "--strict", path)


def test_kustomization_names_every_manifest() -> None:
    kustomization = yaml.safe_load((INFRA / "kustomization.yaml").read_text())
    assert sorted(INFRA / name for name in kustomization["resources"]) == KUBERNETES


def test_policies_name_pods_that_there_are() -> None:
    specs = [
        each["spec"]["template"]["metadata"]["labels"]["app"]
        for each in objects()
        if "template" in each.get("spec", {})
    ]
    policies = [each for each in objects() if each["kind"] == "NetworkPolicy"]
    assert {each["metadata"]["name"] for each in policies} == {"prefect-server", "evenkeel-workers", "evenkeel-dask"}
    text = json.dumps(policies)
    assert [app for app in specs if f'"{app}"' not in text] == []
    assert [one for each in policies for one in each["spec"]["policyTypes"]] == ["Ingress"] * 3
    (workers,) = (each for each in policies if each["metadata"]["name"] == "evenkeel-workers")
    assert workers["spec"]["ingress"] == []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl to build the kustomization with")
def test_kustomization_builds() -> None:
    built = list(yaml.safe_load_all(passes("kubectl", "kustomize", INFRA)))
    assert {each["kind"] for each in built} == {each["kind"] for each in objects()} | {"ConfigMap"}
    settings = next(each["data"] for each in built if each["kind"] == "ConfigMap")
    assert settings == {**ENVIRONMENT, "PREFECT_API_URL": "http://prefect-server:4200/api"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd to verify units with")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_pass_their_verifier(path: Path, tmp_path: Path) -> None:
    here = tmp_path / path.name
    here.write_text(path.read_text().replace("/opt/evenkeel/.venv/bin", str(BIN)).replace("/opt/evenkeel", str(ROOT)))
    done = subprocess.run(["systemd-analyze", "verify", str(here)], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if path.name in line]
    assert (done.returncode, ours) == (0, [])


def test_everything_runs_with_the_shared_settings() -> None:
    ours = [service for service in COMPOSE["services"].values() if service["image"].startswith("evenkeel")]
    assert ours
    assert all(service["env_file"] == ["prefect.env"] for service in ours)
    assert all({"configMapRef": {"name": "prefect"}} in container["envFrom"] for container in containers())
    assert all("EnvironmentFile=/opt/evenkeel/infra/prefect.env" in unit.read_text() for unit in UNITS)


def test_nothing_reports_to_the_outside() -> None:
    assert ENVIRONMENT["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert ENVIRONMENT["DO_NOT_TRACK"] == "1"
    assert ENVIRONMENT["PREFECT_SERVER_UI_V2_ENABLED"] == "false"
    assert "-master.telemetry=false" in COMPOSE["services"]["s3"]["command"]


def test_a_worker_waits_for_the_bucket_and_sees_the_recipes() -> None:
    worker, bucket = COMPOSE["services"]["worker"], COMPOSE["services"]["bucket"]
    assert bucket["command"] == ["python", "-m", "evenkeel.infra.bucket", "evenkeel"]
    assert worker["depends_on"]["bucket"] == {"condition": "service_completed_successfully"}
    assert worker["volumes"][1].endswith(":/var/lib/evenkeel/recipes:ro")


def test_one_command_makes_keys_once_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")  # an engine that does not answer
    (tmp_path / "docker").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "EVENKEEL_COMMIT": "abc1234"}
    found = []
    for _ in range(2):
        done = subprocess.run(
            [INFRA / "up"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (1, "no container engine answers: start docker, then again\n")
        found.append((tmp_path / "secrets.env").read_text())
    assert found[0] == found[1]
    assert (tmp_path / "secrets.env").stat().st_mode & 0o777 == 0o600
    keys = dict(line.split("=") for line in found[0].splitlines())
    assert set(keys) == {"POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"}
    assert len(set(keys.values())) == 3


def test_secrets_are_named_and_never_written() -> None:
    secret = re.compile("PASSWORD|SECRET|ACCESS_KEY")
    for service in COMPOSE["services"].values():
        given = {name: value for name, value in service.get("environment", {}).items() if secret.search(name)}
        assert all(re.fullmatch(r"\$\{\w+:\?\}", value) for value in given.values()), given
    for container in containers():
        for variable in container.get("env", []):
            assert "valueFrom" in variable or not secret.search(variable["name"])
    assert not [name for name in ENVIRONMENT if secret.search(name)]
    assert not [unit for unit in UNITS if secret.search(re.sub("#.*", "", unit.read_text()))]


def test_containers_run_as_nobody_in_particular() -> None:
    for path in IMAGES:
        assert [line for line in path.read_text().splitlines() if line.startswith("USER")][-1] == "USER 10001"
    for each in objects():
        if each["kind"] in ("Deployment", "Job"):
            assert each["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
    assert all(container["securityContext"]["capabilities"] == {"drop": ["ALL"]} for container in containers())


def test_a_pod_gets_a_device_only_where_it_asks_for_one() -> None:
    limits = {each["image"]: each["resources"]["limits"] for each in containers() if each["name"] == "worker"}
    assert limits["evenkeel-gpu"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in limits["evenkeel"]
    assert "NVIDIA_VISIBLE_DEVICES" in IMAGES[1].read_text()


def test_images_are_chosen_by_commit() -> None:
    assert "${EVENKEEL_COMMIT:?" in json.dumps(COMPOSE["services"]["worker"]["image"])
    images = {each["name"] for each in yaml.safe_load((INFRA / "kustomization.yaml").read_text())["images"]}
    assert {container["image"] for container in containers()} == images == {"evenkeel", "evenkeel-gpu"}
    assert "org.opencontainers.image.revision" in (INFRA / "images" / "Dockerfile").read_text()
