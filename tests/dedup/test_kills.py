"""A process killed in the middle of deduplication, run again: the same result as one that was never killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from evenkeel.infra import storage
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.config import DedupConfig, SemanticConfig
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.tfidf_svd import TfidfSvdEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from tests.embed.pools import make_pool, new_run

CONFIG = DedupConfig(semantic=SemanticConfig(epsilon=0.2, clusters=3))


def killed_at_write(folder: Path, inputs: dict[str, StepRef], writes: int) -> None:
    """Run the step in this process, which kills itself when it has begun to write a file for the nth time."""
    done = 0
    real = storage.open_replace

    @contextmanager
    def counted(uri: str) -> Iterator[BinaryIO]:
        nonlocal done
        done += 1
        with real(uri) as stream:
            if done == writes:
                os.kill(os.getpid(), signal.SIGKILL)
            yield stream

    storage.open_replace = counted
    DEDUP(CONFIG, DedupInputs.of(inputs), new_run(folder, threads=1))


@pytest.mark.long
@pytest.mark.parametrize("writes", [[9], pytest.param([3, 9, 14], marks=pytest.mark.slow)])
def test_killed_and_resumed_is_the_same(tmp_path: Path, writes: list[int]) -> None:
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(60)])
    texts = [" ".join(words[rng.integers(0, 60, 25)]) for _ in range(200)]
    texts += [text + " more" for text in texts[:100]] + texts[:50]
    columns = {"id": [f"r{i}" for i in range(350)], "text": texts}
    results = []
    for name in ("whole", "killed"):
        run = new_run(tmp_path / name)
        pool = make_pool(run, tmp_path / "shards", columns)
        embedded = EMBED(TfidfSvdEmbedding(dimension=8), EmbedInputs(ingest=pool), run)
        inputs = {"ingest": pool, "embed": embedded}
        for at in writes if name == "killed" else []:
            child = get_context("spawn").Process(target=killed_at_write, args=(tmp_path / name, inputs, at))
            child.start()
            child.join()
            assert child.exitcode == -signal.SIGKILL
        ref = DEDUP(CONFIG, DedupInputs.of(inputs), run)
        assert min(ref.counts[kind] for kind in ("exact", "near", "semantic")) > 0
        results.append((Duplicates.open(ref).dropped(), ref.counts, ref.facts))
    assert results[0] == results[1]


@pytest.mark.long
def test_a_run_killed_while_its_stages_are_removed_begins_them_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, remove = new_run(tmp_path, threads=1), storage.remove
    texts = [" ".join(f"w{row}-{word}" for word in range(12)) for row in range(40)]
    pool = make_pool(run, tmp_path / "shards", {"id": [f"r{i}" for i in range(80)], "text": 2 * texts})
    embedded = EMBED(TfidfSvdEmbedding(dimension=2), EmbedInputs(ingest=pool), run)
    config, inputs = DedupConfig(exact=False), DedupInputs(ingest=pool, embed=embedded)

    def killed(uri: str) -> None:
        if not uri.endswith("stages"):
            return remove(uri)
        remove(storage.join(uri, "near", "ranks"))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(storage, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            DEDUP(config, inputs, run)
    assert DEDUP(config, inputs, run).counts["near"] == 40
