"""A published version as a PyTorch dataset; PyTorch itself is yours to install."""

from collections.abc import Iterator

from torch.utils.data import IterableDataset, get_worker_info

from evenkeel.tasks.reading.stream import Batch, RowStream


class TorchStream(IterableDataset):  # type: ignore[misc]
    """Batches of a version for `DataLoader(stream, batch_size=None, num_workers=...)`: numbers as tensors, else lists.

    Every (rank, worker) gets row groups of its own, so that one epoch over all of them is every row (as often as its
    copies say). `set_epoch(e)` before an epoch shuffles anew; `resume(epoch, batches)` goes on exactly after so many
    batches of this rank, with the same number of workers.
    """

    def __init__(self, rows: RowStream, *, rank: int = 0, ranks: int = 1) -> None:
        self.rows, self.rank, self.ranks, self.epoch, self.done = rows, rank, ranks, 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Begin `epoch` from its start."""
        self.resume(epoch, 0)

    def resume(self, epoch: int, batches: int) -> None:
        """Go on in `epoch` after `batches` batches that this rank's DataLoader has given out."""
        self.epoch, self.done = epoch, batches

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        consumers = self.ranks * workers
        mine = range(self.rank * workers, (self.rank + 1) * workers)
        given, turn = [0] * workers, 0
        if self.done:
            lengths = [self.rows.length(self.epoch, consumer=one, consumers=consumers) for one in mine]
            given, turn = _round_robin(lengths, self.done)
        part = (worker + turn) % workers
        yield from self.rows.batches(self.epoch, consumer=mine[part], consumers=consumers, skip=given[part])


def _round_robin(lengths: list[int], count: int) -> tuple[list[int], int]:
    """Return how many of `count` batches each worker gave to a loader that asks them in turn, and who is next."""
    given, turn = [0] * len(lengths), 0
    for _ in range(min(count, sum(lengths))):
        while given[turn] == lengths[turn]:
            turn = (turn + 1) % len(lengths)
        given[turn] += 1
        turn = (turn + 1) % len(lengths)
    return given, turn
