"""One pass over the pool counts the rows of every block by disposition, group value and leaf."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evenkeel.infra import storage
from evenkeel.infra.errors import AccountingError
from evenkeel.infra.hashing import uniform
from evenkeel.infra.lookup import find_sorted
from evenkeel.infra.tables import read_range
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.drops import QUARANTINED
from evenkeel.tasks.dedup.ledger import FILTERED
from evenkeel.tasks.ingest.pool import Block
from evenkeel.tasks.measure.churn import hashes_of
from evenkeel.tasks.measure.dispositions import DispositionCounts
from evenkeel.tasks.sample.blocks import SharedArray
from evenkeel.tasks.sample.candidates import CandidateRows

BASELINES = ("random", "flat", "top-down")
STAGES = ("before", "after", *BASELINES)
SEED = 0x6D65_6173_7572_65


@dataclass
class Survey:
    """The counts of some rows; surveys of parts add up.

    groups: for each group column and value, rows per stage. duplicates: leaf -> rows dropped for one kept there.
    hashes: uint64, those of the identities of kept rows that may be among the smallest.
    """

    dispositions: DispositionCounts = field(default_factory=DispositionCounts)
    tokens_before: int = 0
    tokens_after: int = 0
    groups: dict[str, dict[str, NDArray[np.int64]]] = field(default_factory=dict)
    duplicates: dict[int, int] = field(default_factory=dict)
    hashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    def add(self, other: "Survey") -> "Survey":
        """Add another part to this one, and return it."""
        self.dispositions += other.dispositions
        self.tokens_before += other.tokens_before
        self.tokens_after += other.tokens_after
        for name, values in other.groups.items():
            mine = self.groups.setdefault(name, {})
            for value, counts in values.items():
                mine[value] = mine[value] + counts if value in mine else counts
        for leaf, count in other.duplicates.items():
            self.duplicates[leaf] = self.duplicates.get(leaf, 0) + count
        self.hashes = np.concatenate([self.hashes, other.hashes])
        return self


@dataclass(frozen=True)
class Surveyor:
    """Everything that a worker needs to survey a block: references, never data.

    rates: (baselines, leaves), the share of the rows of every leaf that each baseline takes. largest: hashes of kept
    rows up to this are handed in.
    """

    rows: CandidateRows
    dedup: StepRef
    sample: StepRef
    rates: SharedArray
    largest: int

    def __call__(self, block: Block) -> Survey:
        """Survey one block.

        Raises AccountingError for a row with two dispositions.
        """
        names = [f"group.{name}" for name in self.rows.pool.groups]
        pool = self.rows.pool.table(block, ["row_id", "identity", "tokens", *names])
        row_id = pool["row_id"].to_numpy()
        if not len(row_id):
            return Survey()
        bounds = int(row_id[0]), int(row_id[-1])
        dropped = read_range(storage.join(self.dedup.uri, "dropped.parquet"), *bounds)
        selected = read_range(storage.join(self.sample.uri, "selection.parquet"), *bounds)
        clustered = self.rows.table(block.name)
        _check_disjoint(block.name, row_id, dropped, selected, clustered)
        excluded = int(pc.sum(pc.is_in(dropped["kind"], pa.array(QUARANTINED))).as_py() or 0)
        filtered = int(pc.sum(pc.equal(dropped["kind"], FILTERED)).as_py() or 0)
        dispositions = DispositionCounts(
            kept=selected.num_rows,
            deduplicated=dropped.num_rows - excluded - filtered,
            filtered=filtered,
            not_sampled=len(row_id) - dropped.num_rows - selected.num_rows,
            quarantined=excluded,
        )
        of_pool = np.searchsorted(row_id, selected["row_id"].to_numpy())
        identity = pool["identity"].to_numpy()
        hashes = hashes_of(identity[of_pool])
        tokens = pool["tokens"].fill_null(0).to_numpy().astype(np.int64)
        place = np.searchsorted(row_id, clustered["row_id"].to_numpy())
        copies = np.zeros(len(row_id), np.int64)
        copies[of_pool] = selected["copies"].to_numpy()
        stages = self._stages(clustered["leaf"].to_numpy(), identity[place], copies[place])
        return Survey(
            dispositions=dispositions,
            tokens_before=int(tokens[place].sum()),
            tokens_after=int((tokens * copies).sum()),
            groups={name[6:]: _by_value(pool[name].take(place), stages) for name in names} if len(place) else {},
            duplicates=self._duplicates(bounds, clustered),
            hashes=hashes[hashes <= np.uint64(self.largest)],
        )

    def _stages(
        self, leaf: NDArray[np.int32], identity: NDArray[np.uint64], copies: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return how often each clustered row occurs at every stage, (n, stages) int64; baselines drawn row by row."""
        rates = self.rates.read()
        draw = uniform(SEED, identity)
        stages = np.empty((len(leaf), len(STAGES)), np.int64)
        stages[:, 0], stages[:, 1] = 1, copies
        for place in range(len(BASELINES)):
            rate = rates[place][leaf]
            stages[:, place + 2] = np.floor(rate) + (draw < rate % 1)
        return stages

    def _duplicates(self, bounds: tuple[int, int], clustered: pa.Table) -> dict[int, int]:
        """Return how many rows were dropped for a kept row, by the kept row's leaf."""
        groups = read_range(storage.join(self.dedup.uri, "groups.parquet"), *bounds)
        if not groups.num_rows:
            return {}
        place, there = find_sorted(clustered["row_id"].to_numpy(), groups["row_id"].to_numpy())
        place = place[there]  # a filter that came after deduplication may have removed a representative
        if not len(place):
            return {}
        leaf, inverse = np.unique(clustered["leaf"].to_numpy()[place], return_inverse=True)
        dropped = np.bincount(inverse, weights=groups["size"].to_numpy()[there] - 1).astype(np.int64)
        return dict(zip(leaf.tolist(), dropped.tolist(), strict=True))


def _by_value(column: pa.ChunkedArray, stages: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Return the rows per stage of every value of a group column; null counts as "(none)"."""
    coded = pc.fill_null(column, "(none)").combine_chunks().dictionary_encode()
    codes, values = coded.indices.to_numpy(), coded.dictionary.to_pylist()
    counts = np.stack([np.bincount(codes, weights=stage, minlength=len(values)) for stage in stages.T], axis=1)
    return dict(zip(values, counts.astype(np.int64), strict=True))


def _check_disjoint(
    block: str, row_id: NDArray[np.uint64], dropped: pa.Table, selected: pa.Table, clustered: pa.Table
) -> None:
    """Raise AccountingError unless dropped and selected rows are rows of the block, and none is both."""
    parts = {name: part["row_id"].to_numpy() for name, part in (("dropped", dropped), ("selected", selected))}
    wrong = [(name, ids[~np.isin(ids, row_id)]) for name, ids in parts.items()]
    wrong.append(("both dropped and selected", np.intersect1d(parts["dropped"], parts["selected"])))
    kept = np.setdiff1d(row_id, parts["dropped"], assume_unique=True)
    wrong.append(("kept by dedup but not clustered", np.setdiff1d(kept, clustered["row_id"].to_numpy())))
    wrong.append(("clustered though dropped", np.setdiff1d(clustered["row_id"].to_numpy(), kept)))
    for what, ids in wrong:
        if len(ids):
            raise AccountingError(
                f"{len(ids):,} row(s) of block {block} are {what}" + (", yet not in the pool" if what in parts else ""),
                found=f"row_id {ids[0]}" + (" and others" if len(ids) > 1 else ""),
                where="measure",
                remedy="this is a fault of the pipeline, not of the data: keep the workspace and report it",
            )
