"""A signal joined by id from files: the score of any model, the loss of a training run, a rate that was measured."""

from typing import Literal

from evenkeel.tasks.signal.joining import Joining


class JoinedSignal(Joining):
    """A number for every row, from files that name rows by their id; Parquet, CSV or JSONL."""

    kind: Literal["joined"] = "joined"
