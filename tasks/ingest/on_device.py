"""Which pools are decoded on a CUDA device, and which of their shards lie in memory meanwhile."""

from collections.abc import Sequence

from evenkeel.infra import storage
from evenkeel.infra.compute import Backend, Compute
from evenkeel.tasks.ingest.listing import ListedShard
from evenkeel.tasks.ingest.reader import reader_of

LEAST_BYTES = 1 << 30  # of a pool: below that, making a process ready for the device takes longer than reading


def backend_of(shards: Sequence[ListedShard], compute: Compute) -> Backend:
    """Return what reads the shards of a pool."""
    return compute.backend if sum(shard.bytes for shard in shards) >= LEAST_BYTES else "cpu"


def held_bytes(shards: Sequence[ListedShard], compute: Compute) -> int:
    """Return the bytes of the largest shard that a device is given in memory; larger ones are copied. 0 = all are."""
    if backend_of(shards, compute) == "cpu":
        return 0
    most = compute.shard_bytes(sum(shard.bytes for shard in shards))
    return max((shard.bytes for shard in shards if is_held(shard, most)), default=0)


def is_held(shard: ListedShard, most: int) -> bool:
    """Tell whether a shard is to be held in memory, where those of up to `most` bytes are: its store is another."""
    return 0 < shard.bytes <= most and not storage.is_local(shard.uri) and reader_of(shard.format).reads_memory
