"""What signals by nearest neighbours share: where neighbours are searched, and what that costs."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Float64Array
from evenkeel.tasks.signal.signal import Fit, Part, Signal
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Run
from evenkeel.tasks.workload import Workload


class Neighbouring(Signal):
    """A signal that looks at the nearest neighbours of a row, searched in its own cell and the eight next to it."""

    metric: Literal["euclidean", "cosine"] = Field("euclidean", description="cosine = on vectors scaled to length 1.")
    cells: Literal["sample", "clusters"] = Field(
        "sample",
        description="Where neighbours are searched. sample = cells of a quick k-means, so that filters find the signal "
        "before clustering; clusters = the leaves, which costs less above about ten million rows.",
    )

    def by_backend(self) -> bool:
        """Return that distances are others on a device, in the last bits."""
        return True

    def needs(self) -> frozenset[Part]:
        """Return the vectors, and the clusters where these are the cells."""
        return frozenset({"vectors", "clusters"} if self.cells == "clusters" else {"vectors"})

    def find(self, source: SignalSource, folder: str, run: Run, *, label: str, k: int) -> Mapping[str, object]:
        """Write the value of every row that is in a cell, and return facts. label: "" = measure distances."""
        from evenkeel.tasks.signal.neighbours.cells import make_cells
        from evenkeel.tasks.signal.neighbours.measure import measure_rows

        place = storage.join(folder, "cells")
        cells = make_cells(source, place, run, metric=self.metric, label=label, clusters=self.cells == "clusters")
        files = measure_rows(cells, k, "disagreement" if label else "distance", folder, run)
        storage.remove(place)
        return {"cells": cells.edges[-1], "files": files}

    def found(self, source: SignalSource, block: str, fit: Fit) -> Float64Array:
        """Return the values of the rows of a block, (n,) float64, NaN for rows that are in no cell."""
        from evenkeel.tasks.signal.neighbours.measure import values_of_block

        return values_of_block(source, block, fit.folder, int(str(fit.facts["files"])))

    def cost(self, work: Workload) -> float:
        """Return the CPU-seconds of a pool: each row is compared with those of nine cells."""
        from evenkeel.tasks.signal.neighbours.size import rows_compared

        leaf = work.rows / max(work.leaves, 1) if self.cells == "clusters" else 0.0
        return 0.5 + work.rows * (4e-5 + rows_compared(work.rows, leaf) * (4e-11 * work.dimension + 4e-9))
