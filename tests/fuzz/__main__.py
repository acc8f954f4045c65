"""`python -m tests.fuzz --files 1000000`: damaged files through ingest, and how many of them there were."""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.batches import Batch, Fault, Tally, run
from tests.fuzz.targets import TARGETS

MEMORY = 12 << 30


def main() -> int:
    """Read batches of all formats in turn; print the sums, and every fault with what makes it again."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="how many damaged files")
    parser.add_argument("--seed", type=int, default=0, help="the first batch; each has a number")
    parser.add_argument("--only", action="append", choices=list(TARGETS), help="a format (may be given again)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="when to stop, whatever was reached")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-faults"), help="where files that make a fault are put")
    parser.add_argument("--say", type=float, default=60.0, help="seconds between two lines of progress")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    total, faults, begun, said = Tally(), 0, time.monotonic(), time.monotonic()
    for name, seed in _batches(asked.only or list(TARGETS), asked.seed):
        spent = time.monotonic() - begun
        if total.files >= asked.files or spent > asked.seconds:
            break
        batch = Batch.drawn(TARGETS[name], seed)
        try:
            with tempfile.TemporaryDirectory() as place:
                total.add(run(batch, Path(place, "run")))
        except Fault as fault:
            faults += 1
            total.files += len(batch.contents)
            print(f"FAULT {name} {seed}: {fault}"[:600], flush=True)
            _keep(batch, asked.keep, f"{name}-{seed}")
        if time.monotonic() - said > asked.say:
            said = time.monotonic()
            print(f"{total.files:,} files in {spent:,.0f} s, {faults} faults; next --seed {seed}", flush=True)
    print(
        f"{total.files:,} damaged files of {len(asked.only or TARGETS)} formats, {faults} batches with a fault: "
        f"{total.whole:,} read whole, {total.part:,} in part, {total.refused:,} refused "
        f"({total.ended:,} ended their reader, {total.stricter:,} that another reading takes); "
        f"{total.rows:,} rows = {total.kept:,} kept + {total.rows - total.kept:,} refused"
    )
    for reason, times in sorted(total.reasons.items()):
        if reason and times:
            print(f"  {times:,} {reason}")
    return int(faults > 0)


def _batches(names: list[str], first: int) -> Iterator[tuple[str, int]]:
    seed = first
    while True:
        yield from ((name, seed) for name in names)
        seed += 1


def _keep(batch: Batch, folder: Path, name: str) -> None:
    """Find the files of a batch that make a fault beside the sound one alone, and keep them."""
    for number in range(1, len(batch.contents)):
        try:
            with tempfile.TemporaryDirectory() as place:
                run(batch.of(number), Path(place, "run"))
        except Fault as fault:
            folder.mkdir(parents=True, exist_ok=True)
            kept = folder / f"{name}-{number}{batch.target.suffix}{batch.target.compressed}"
            kept.write_bytes(batch.contents[number])
            print(f"  {kept}: {fault}"[:600], flush=True)


if __name__ == "__main__":
    sys.exit(main())
