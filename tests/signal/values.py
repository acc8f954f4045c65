"""Compute a signal on a small finished pool, and read its column."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.compute import Compute
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.signal.signal import Signal
from evenkeel.tasks.step import InProcess
from tests.sample.pools import make_run


def signal_of(
    signal: Signal, done: Mapping[str, StepRef], folder: Path, threads: int = 1
) -> tuple[np.ndarray, StepRef]:
    """Return the values of all rows in pool order, (n,) float64, and the step's reference."""
    run = replace(make_run(folder), compute=Compute(threads=threads))
    ref = compute_signal(signal, done, InProcess(run))
    return Pool.open(done["ingest"], signals={signal.name: ref}).column(f"score.{signal.name}"), ref


def values_of(signal: Signal, done: Mapping[str, StepRef], folder: Path, threads: int = 1) -> np.ndarray:
    """Return the values of all rows in pool order, (n,) float64."""
    return signal_of(signal, done, folder, threads)[0]
