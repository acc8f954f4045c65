"""The filter step: which rows leave, and by which rule; written as the ledger that deduplication goes on from."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.dtypes import BoolArray, Int64Array, UInt64Array
from evenkeel.infra.errors import RecipeError
from evenkeel.infra.tables import read_table, write_table
from evenkeel.infra.workspace import StepFolder, StepRef
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.filtered import Filtered
from evenkeel.tasks.dedup.ledger import filtered_rows, merged, read_ledger, write_ledger
from evenkeel.tasks.filter.config import WHERE, FilterConfig
from evenkeel.tasks.filter.inputs import FilterInputs
from evenkeel.tasks.filter.rules import PreparedRule, check_types, folder_of
from evenkeel.tasks.ingest.must_keep import among, kept_by_force
from evenkeel.tasks.ingest.pool import SHARD_BITS, Block, Pool
from evenkeel.tasks.signal.source import SignalSource
from evenkeel.tasks.step import Outcome, Run, Step
from evenkeel.tasks.workload import Workload

MAX_VALUES = 1000
REMOVED = "removed"


@dataclass
class Tally:
    """What filters did to some rows; tallies of parts add up.

    rows: that came to the filters. removed, missing: by rule, (rules,) int64. shards: removed rows by shard number.
    groups: removed rows by group column and value. sizes: rows and removed rows by size of the duplicate group.
    """

    rows: int
    removed: Int64Array
    missing: Int64Array
    shards: Counter[int] = field(default_factory=Counter)
    groups: dict[str, Counter[str]] = field(default_factory=dict)
    sizes: Counter[tuple[int, bool]] = field(default_factory=Counter)


@dataclass(frozen=True)
class Filtering:
    """What a worker needs to filter a block; small."""

    source: SignalSource
    rules: Sequence[PreparedRule]
    duplicates: Duplicates | None
    sizes: bool
    folder: str
    scratch: str
    must: UInt64Array = field(default_factory=lambda: np.empty(0, np.uint64))

    def __call__(self, block: Block) -> Tally:
        """Write the rows of a block that leave, with their rules; return how many."""
        names = [f"group.{name}" for name in self.source.pool.groups]
        table = self.source.pool.table(block, ["row_id", *names])
        row_id = table["row_id"].to_numpy()
        before = np.ones(len(row_id), np.bool_) if self.duplicates is None else self.duplicates.kept(row_id)
        rule = np.full(len(row_id), -1, np.int64)
        missing = np.zeros(len(self.rules), np.int64)
        for number, one in enumerate(self.rules):
            decision = one.decide(self.source, block.name, self.scratch)
            here = before & (rule < 0)
            missing[number] = int((decision.missing & here).sum())
            rule[decision.leave & here & ~among(self.must, row_id)] = number
        gone = rule >= 0
        texts = pa.array([one.rule.text for one in self.rules], pa.string())
        write_table(_removed(self.folder, block), filtered_rows(row_id[gone], texts.take(pa.array(rule[gone]))))
        count = int(gone.sum())
        return Tally(
            int(before.sum()),
            np.bincount(rule[gone], minlength=len(self.rules)),
            missing,
            Counter((row_id[gone] >> np.uint64(SHARD_BITS)).tolist()),
            {name[6:]: _values(table[name], gone) for name in names} if count else {},
            self._by_size(row_id, before, gone),
        )

    def _by_size(self, row_id: np.ndarray, before: BoolArray, gone: BoolArray) -> Counter[tuple[int, bool]]:
        if not self.sizes or self.duplicates is None:
            return Counter()
        sizes = self.duplicates.sizes(row_id[before]).tolist()
        return Counter(zip(sizes, gone[before].tolist(), strict=True))


def filter_rows(config: FilterConfig, inputs: FilterInputs, out: StepFolder, run: Run) -> Outcome:
    """Write which rows leave, by the first rule that holds; after deduplication together with what that dropped.

    Raises RecipeError where no row is left, naming the rule at which that came about.
    """
    pool = Pool.open(inputs.ingest, run.scratch, inputs.signals)
    source = SignalSource(pool, WHERE)
    for one in config.rules:
        source.check(one.columns)
        for block in source.blocks[:1]:
            check_types(one, source.columns(block, one.columns).slice(0, 0))
    rules = [
        PreparedRule.prepare(one, source, folder_of(out.uri, number), run) for number, one in enumerate(config.rules)
    ]
    duplicates = None if inputs.dedup is None else Duplicates.open(inputs.dedup)
    must = kept_by_force(inputs.must_keep)
    filtering = Filtering(source, rules, duplicates, config.sizes, out.uri, str(run.scratch), must)
    tally = run.compute.reduce(filtering, add_tallies, pool.blocks, work=pool.rows * 64)
    tally = tally or Tally(0, np.zeros(len(rules), np.int64), np.zeros(len(rules), np.int64))
    _refuse_none_left(config, tally)
    removed = _read_removed(out.uri, pool.blocks)
    if inputs.dedup is None:
        write_ledger(out.uri, removed)
    else:
        write_ledger(out.uri, merged(read_ledger(inputs.dedup.uri), removed))
        groups = storage.join(inputs.dedup.uri, "groups.parquet")
        storage.write_bytes(out.path("groups.parquet"), storage.read_bytes(groups))
    storage.remove(out.path(REMOVED))
    return Outcome(_counts(tally, pool, inputs.dedup), _facts(config, tally, pool, inputs.dedup))


def add_tallies(one: Tally, other: Tally) -> Tally:
    """Return what filters did to two parts together; the first is changed."""
    one.rows += other.rows
    one.removed, one.missing = one.removed + other.removed, one.missing + other.missing
    one.shards.update(other.shards)
    one.sizes.update(other.sizes)
    for name, values in other.groups.items():
        one.groups.setdefault(name, Counter()).update(values)
    return one


def _refuse_none_left(config: FilterConfig, tally: Tally) -> None:
    left = tally.rows - np.cumsum(tally.removed)
    if tally.rows and len(left) and left[-1] == 0:
        at = int(np.flatnonzero(left == 0)[0])
        came = tally.rows if at == 0 else int(left[at - 1])
        raise RecipeError(
            f"the filter {config.rules[at].text!r} leaves no row",
            expected="a rule that some of the rows pass",
            found=f"it removes all {came:,} rows that come to it, of {tally.rows:,}",
            where=f"{WHERE}, {at + 1}",
            remedy="loosen it; a keep that never holds, or a threshold on the wrong scale, is the usual reason",
        )


def _counts(tally: Tally, pool: Pool, dedup: StepRef | None) -> dict[str, int]:
    removed = int(tally.removed.sum())
    before = {"rows": pool.rows, "kept": tally.rows, "filtered": 0} if dedup is None else dedup.counts
    return {**before, "kept": tally.rows - removed, "filtered": before.get("filtered", 0) + removed}


def _facts(config: FilterConfig, tally: Tally, pool: Pool, dedup: StepRef | None) -> dict[str, object]:
    """Return removed rows by rule, shard and group value (the most frequent thousand), and rates by group size."""
    names = {shard.number: shard.name for shard in pool.shards}
    rules = [
        {"rule": one.text, "removed": int(removed), "missing": int(missing)}
        for one, removed, missing in zip(config.rules, tally.removed, tally.missing, strict=True)
    ]
    before = Filtered.of(dedup)
    sizes: dict[str, list[int]] = {}
    for (size, gone), rows in sorted(tally.sizes.items()):
        counted = sizes.setdefault(str(size), [0, 0])
        counted[0] += rows
        counted[1] += rows if gone else 0
    shards = before.shards + Counter({names.get(number, str(number)): rows for number, rows in tally.shards.items()})
    groups = {name: before.groups.get(name, Counter()) + values for name, values in tally.groups.items()}
    filtered = {
        "rules": [*before.rules, *rules],
        "shards": dict(shards.most_common(MAX_VALUES)),
        "groups": {name: dict(values.most_common(MAX_VALUES)) for name, values in {**before.groups, **groups}.items()},
    }
    earlier = {} if dedup is None else dedup.facts
    return {**earlier, "filtered": filtered, **({"sizes": sizes} if config.sizes else {})}


def _values(column: pa.ChunkedArray, gone: BoolArray) -> Counter[str]:
    counted = column.filter(pa.array(gone)).value_counts().to_pylist()
    return Counter({str(one["values"]): one["counts"] for one in counted})


def _removed(folder: str, block: Block) -> str:
    return storage.join(folder, REMOVED, f"{block.name}.parquet")


def _read_removed(folder: str, blocks: Sequence[Block]) -> Iterator[pa.Table]:
    for block in blocks:
        yield read_table(_removed(folder, block))


def cost(config: FilterConfig, work: Workload) -> float:
    """Return the CPU-seconds of filtering a pool."""
    return 0.05 + 6e-7 * work.rows * len(config.rules)


FILTER = Step("filter", 1, filter_rows, cost=cost)
