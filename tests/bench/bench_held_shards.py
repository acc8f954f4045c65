"""What it costs to bring shards of S3 to this machine: in ranges into memory, or as a copy on the disk, with SHA-256.

    python -m tests.bench.bench_held_shards [--shards 8] [--mebibytes 64] [--rounds 3]

A SeaweedFS server on this machine holds the shards. In each round both ways bring every shard, one after the other, and
the way that begins changes from shard to shard. Printed are seconds and CPU-seconds of this process, without the
server's, and their ratio. The memory is NumPy's, used again for every shard as page-locked memory is; the copy is read
once, to hash it, and removed. What a device then does is no part of it.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evenkeel.infra import storage
from tests.s3.servers import BUCKET, seaweed

Spent = dict[str, list[tuple[float, float]]]


def timed(work: Callable[[], str]) -> tuple[str, tuple[float, float]]:
    """Return a digest, and the seconds and CPU-seconds it took."""
    begun, used = time.perf_counter(), time.process_time()
    digest = work()
    return digest, (time.perf_counter() - begun, time.process_time() - used)


def measure(shards: list[str], size: int, rounds: int, scratch: Path) -> Spent:
    """Return what each shard took in each way."""
    memory = np.ones(size, np.uint8).data

    def copied(uri: str) -> str:
        path = storage.local_copy(uri, scratch)
        digest = storage.sha256(str(path))
        path.unlink()
        return digest

    ways: dict[str, Callable[[str], str]] = {
        "ranges into memory": lambda uri: str(storage.read_into(uri, memory)),
        "copy on the disk": copied,
    }
    spent: Spent = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for number, uri in enumerate(shards):
            digests = set()
            for name in list(ways)[:: 1 if (turn + number) % 2 else -1]:
                digest, taken = timed(lambda way=ways[name], uri=uri: way(uri))  # type: ignore[misc]
                digests.add(digest)
                if turn:  # the first round warms up
                    spent[name].append(taken)
            assert len(digests) == 1, digests
    return spent


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--mebibytes", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    size = asked.mebibytes << 20
    with tempfile.TemporaryDirectory() as folder, seaweed(Path(folder) / "weed") as store:
        os.environ.update(store.environment())
        shards = [f"s3://{BUCKET}/shards/{number}.parquet" for number in range(asked.shards)]
        for number, uri in enumerate(shards):
            storage.write_bytes(uri, np.random.default_rng(number).bytes(size))
        spent = measure(shards, size, asked.rounds, Path(folder) / "scratch")
    totals = {name: np.sum(taken, axis=0) for name, taken in spent.items()}
    gib = asked.shards * asked.rounds * size / (1 << 30)
    for name, (seconds, cpu) in totals.items():
        print(f"{name}: {seconds / gib:.2f} s and {cpu / gib:.2f} CPU-s a GiB")
    seconds, cpu = totals["ranges into memory"] / totals["copy on the disk"]
    ratios = np.array(spent["ranges into memory"]) / np.array(spent["copy on the disk"])
    spread = np.quantile(ratios, (0.25, 0.5, 0.75), axis=0)
    print(f"ratio of the sums: {seconds:.2f} of the time, {cpu:.2f} of the CPU")
    for what, quarters in zip(("time", "CPU"), spread.T, strict=True):
        print(f"ratio of a shard, quartiles, {what}: {' '.join(f'{one:.2f}' for one in quarters)}")


if __name__ == "__main__":
    main()
