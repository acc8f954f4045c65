"""Flows of a few seconds that tests deploy beside the real ones."""

import time
from pathlib import Path

from prefect import flow


@flow
def tick() -> None:
    """End at once; deployed on a schedule of seconds."""


@flow
def beat(seconds: float) -> str:
    """Be healthy and busy for `seconds`."""
    time.sleep(seconds)
    return "done"


@flow
def train(dataset: str, version: int, location: str) -> None:
    """Stand for a training job: write down what it was started with."""
    Path("trained.txt").write_text(f"{dataset} v{version} at {location}")
