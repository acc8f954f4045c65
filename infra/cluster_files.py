"""A named cluster is a small YAML file: what to start, with how much memory, and what its library is called with."""

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evenkeel.infra.errors import RecipeError

Products = Literal["float32", "tf32", "tf32x3"]
CLUSTERS = Path(__file__).parent / "clusters"


class ClusterConfig(BaseModel):
    """Describes one named cluster: what to start, and below how many bytes a job runs in the calling process."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["inline", "local", "gpu", "address", "kubernetes", "slurm"]
    description: str = ""
    workers: int = Field(0, ge=0, description="number of workers; 0 = one per core (local) or per device (gpu)")
    threads: int = Field(1, ge=1, description="threads per worker; kind: gpu has at least its share of the cores")
    memory: str = Field("auto", description="memory limit of one worker, such as 4GiB; auto = an equal share")
    inline_below: str = Field("512MiB", description="a map over less data than this runs in the calling process")
    address: str = Field("", description="scheduler address, for kind: address")
    gpus: int = Field(0, ge=0, le=1, description="CUDA devices of each worker, for kind: kubernetes or slurm")
    products: Products = Field("tf32", description="how exact products on a GPU are; results do not depend on it")
    options: dict[str, object] = Field(default_factory=dict, description="passed on to the cluster class")


def cluster_names() -> list[str]:
    """Return the names that `open_compute` knows, sorted."""
    return sorted(path.stem for path in CLUSTERS.glob("*.yaml"))


def read_cluster(name: str) -> ClusterConfig:
    """Return the config of a named cluster, or of an address. Raises RecipeError for an unknown name."""
    if "://" in name:
        return ClusterConfig(kind="address", address=name.replace("dask://", "tcp://"))
    path = Path(name) if name.endswith(".yaml") else CLUSTERS / f"{name}.yaml"
    if not path.is_file():
        raise RecipeError(
            f"unknown compute {name!r}",
            expected=f"one of {', '.join(cluster_names())}, the path of a cluster YAML, or tcp://host:port",
            where="compute",
        )
    try:
        return ClusterConfig.model_validate(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        raise RecipeError(f"{path} is not a cluster file", found=str(error), where="compute") from error


def kubernetes_options(config: ClusterConfig) -> dict[str, Any]:
    """Return what `KubeCluster` is made with: the image of this commit; with a GPU, the limit that asks for it.

    EVENKEEL_REGISTRY, such as registry.example.com/team, is where the image is pulled from.
    """
    registry = os.environ.get("EVENKEEL_REGISTRY", "").strip("/")
    commit = os.environ.get("EVENKEEL_COMMIT", "latest")
    image = str(config.options["image"]).format(commit=commit, registry=f"{registry}/" if registry else "")
    options: dict[str, Any] = {**config.options, "image": image}
    if config.gpus:
        resources: Any = options.get("resources", {})
        limits = {**resources.get("limits", {}), "nvidia.com/gpu": str(config.gpus)}
        options["resources"] = {**resources, "limits": limits}
    return options


def slurm_options(config: ClusterConfig) -> dict[str, Any]:
    """Return what `SLURMCluster` is made with; with a GPU, the directive that asks for it."""
    options: dict[str, Any] = {"cores": config.threads, "memory": config.memory, **config.options}
    if config.gpus:
        given: Any = options.get("job_extra_directives", [])
        options["job_extra_directives"] = [*given, f"--gres=gpu:{config.gpus}"]
    return options
