"""What is wrong before a run starts is said where the user looks, with what to do next."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flows.cli.calls import invoke
from tests.served import Served


def test_unknown_compute_names_those_there_are(recipe_file: Path) -> None:
    code, output = invoke("plan", recipe_file, "--set", "compute=nowhere")
    assert code == 2
    assert "unknown compute 'nowhere'" in output
    assert "gpu, inline, kubernetes, kubernetes-gpu, local, slurm, slurm-gpu" in output


def test_gpu_without_a_device_is_no_quiet_fallback(recipe_file: Path) -> None:
    code, output = invoke("plan", recipe_file, "--set", "compute=gpu")
    assert code == 1
    assert "no CUDA device" in output
    assert "compute: local" in output


def test_a_recipe_that_vanished_is_named(recipe_file: Path) -> None:
    recipe_file.unlink()
    code, output = invoke("plan", recipe_file)
    assert code == 2
    assert f"there is no recipe at {recipe_file}" in output


@pytest.mark.long
def test_a_server_that_does_not_answer_is_named(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    address = "http://127.0.0.1:9/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    with temporary_settings({PREFECT_API_URL: address}):
        code, output = invoke("curate", recipe_file)
    assert code == 1
    assert "the Prefect server does not answer" in output
    assert address in output
    assert "evenkeel serve" in output


@pytest.mark.slow
def test_a_pool_without_workers_is_said(served: Served, recipe_file: Path) -> None:
    evenkeel = ("-m", "evenkeel.flows.cli.main")
    served.prefect("work-pool", "create", "idle", "--type", "process")
    deployed = json.loads(served.call(*evenkeel, "deploy", str(recipe_file), "--pool", "idle", "--json"))
    found = json.loads(
        served.call(*evenkeel, "curate", str(recipe_file), "--deployment", deployed["deployments"][0], "--json")
    )
    assert found["waits"].startswith("no worker polls the pool 'idle'")
    served.ask("POST", f"/flow_runs/{found['id']}/set_state", {"state": {"type": "CANCELLED"}, "force": True})


@pytest.mark.slow
def test_wrong_credentials_are_said(
    served: Served, document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    document["source"]["uri"] = "s3://nobodys/pool/*.parquet"
    (tmp_path / "s3.json").write_text(json.dumps(document))
    for name, value in {
        "AWS_ENDPOINT_URL": served.addresses["s3"],
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "wrong",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    code, output = invoke("plan", tmp_path / "s3.json")
    assert code == 1
    assert "not allowed to list s3://nobodys/pool/*.parquet" in output
    assert "credentials" in output
