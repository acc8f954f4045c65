"""What is fuzzed: every format that a reader takes, with the options of a source and another reading beside it."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from tests.fuzz import peers, seeds
from tests.fuzz.mutations import mutate

ROLES = {"id": "id", "text": "text", "groups": ["g"], "scores": ["s"]}


@dataclass(frozen=True)
class Target:
    """A format. make: returns the nth sound file. rows: reads a file another way, and raises where it is damaged.

    suffix: of its files, without that of compression. roles: that a recipe may give columns. value: the column that is
    compared with the other reading. beside: returns the suffix and content of the nth file of ids.
    """

    name: str
    suffix: str
    make: Callable[[int], bytes]
    rows: Callable[[bytes], peers.Rows] | None = None
    compressed: str = ""
    roles: Mapping[str, Any] = field(default_factory=dict)
    value: str = "text"
    beside: Callable[[int], tuple[str, bytes]] | None = None

    def file(self, number: int) -> bytes:
        """Return the nth sound file as it lies on disk."""
        return _file(self.name, number)

    def damaged(self, draw: random.Random, number: int, others: Sequence[int]) -> bytes:
        """Return a file made of the nth sound one: damaged before it was compressed, or after."""
        if self.compressed and draw.random() < 0.5:
            inside = mutate(draw, _plain(self.name, number), [_plain(self.name, other) for other in others])
            return seeds.COMPRESS[self.compressed](inside)
        return mutate(draw, self.file(number), [self.file(other) for other in others])

    def peer(self, content: bytes) -> peers.Rows | None:
        """Return the rows of a file by another reading. Raises an exception where it is damaged; None without one."""
        return None if self.rows is None else self.rows(peers.plain(content, self.compressed))


def _targets() -> list[Target]:
    found = []
    for suffix in seeds.COMPRESS:
        found.append(Target(f"jsonl{suffix}", ".jsonl", seeds.jsonl, peers.json_rows, suffix, ROLES))
        lines = partial(seeds.separated, delimiter=",")
        found.append(Target(f"csv{suffix}", ".csv", lines, partial(peers.csv_rows, delimiter=","), suffix, ROLES))
    tabs = partial(seeds.separated, delimiter="\t")
    found.append(Target("tsv", ".tsv", tabs, partial(peers.csv_rows, delimiter="\t"), roles=ROLES))
    found.append(Target("parquet", ".parquet", seeds.parquet, roles=ROLES))
    found.append(Target("npy", ".npy", seeds.npy, peers.npy_rows, value="vector"))
    found.append(Target("npy+ids", ".npy", seeds.npy, peers.npy_rows, value="vector", beside=seeds.ids))
    return found


TARGETS = {target.name: target for target in _targets()}


@lru_cache(256)
def _plain(name: str, number: int) -> bytes:
    return TARGETS[name].make(number)


@lru_cache(256)
def _file(name: str, number: int) -> bytes:
    return seeds.COMPRESS[TARGETS[name].compressed](_plain(name, number))
