"""The table of a billion rows, from measured rates: which step, by which law it grows, and what it costs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evenkeel.infra.compute import Compute
from evenkeel.infra.memory import GIB
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.levels import FAN_IN, derive_levels
from evenkeel.tasks.cluster.split import LEAF_SUMS, RUN_COPIES, memory_of
from evenkeel.tasks.dedup.cells import MAX_BATCHES, ROWS_PER_BATCH, ROWS_TO_FIT_A_CELL
from evenkeel.tasks.dedup.config import NearConfig
from evenkeel.tasks.dedup.exact import RECORDS_PER_RANGE
from evenkeel.tasks.dedup.minhash import choose_bands
from evenkeel.tasks.dedup.near import ROWS_PER_RANGE
from evenkeel.tasks.embed.embedders.tfidf_svd import TfidfSvdEmbedding
from evenkeel.tasks.embed.scatter import RUN_BYTES
from evenkeel.tasks.estimate.requirements import Requirements, ResourceLimits, requirements
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.kmeans.cost import k_means_seconds
from evenkeel.tasks.report.step import MAX_DRAWN
from evenkeel.tasks.sample.balanced.kernel_density import MAX_LEAVES
from evenkeel.tasks.signal.neighbours.size import NEXT
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.workload import Workload
from tests.bench.billion import CORES, HOUR, PRICES, WORKERS, Cost, DeviceRates, at, power_and_line, rate, through_root
from tests.bench.rates_at_scale import FEW_LEAVES, FEW_MERGED, MANY_LEAVES, MANY_MERGED, Shape, grouping_growth
from tests.bench.rates_pool import KEPT, ROWS_PER_BLOCK, ROWS_PER_LEAF

if TYPE_CHECKING:
    from distributed import Client

ITEM, TEXT = 4, 2_000  # bytes of a number of a vector, and of a text
BANDS = choose_bands(NearConfig().threshold, NearConfig().recall).bands
PASSES = 2  # of semantic deduplication
VECTORS_FIRST, TEXTS_ONLY = ("narrow-vectors", "narrow-texts"), ("narrow-texts",)  # the driver's memory was measured on
GROUPS = "narrow-groups"

# name in the table, where it was measured, the step, and the rows of the pool beyond which it does not grow
LINEAR: tuple[tuple[str, str, str, float], ...] = (
    ("ingest of vectors", "vectors", "ingest", float("inf")),
    ("ingest of texts", "texts", "ingest", float("inf")),
    ("embed: tf-idf and SVD", "texts", "embed", float("inf")),
    ("signal: text statistics, words", "both", "signal words", float("inf")),
    ("signal: gopher-repetition", "both", "signal repetition", float("inf")),
    ("signal: personal data", "both", "signal personal", float("inf")),
    ("signal: leverage", "both", "signal leverage", float("inf")),
    ("signal: isolation forest", "both", "signal isolation", float("inf")),
    ("signal: rank in a group", "both", "signal place", float("inf")),
    ("signal: neighbour distance", "both", "signal far", float("inf")),
    ("filters, one before and one after clustering", "both", "filter", float("inf")),
    ("dedup: zero vectors, ledger", "both", "dedup", float("inf")),
    ("dedup: exact", "both", "dedup exact", float("inf")),
    ("dedup: MinHash", "both", "dedup near", float("inf")),
    ("thin", "both", "thin", float("inf")),
    ("partition, with its probe", "both", "partition", float("inf")),
    ("sample, balanced", "both", "sample", float("inf")),
    ("splits", "both", "annotate splits", float("inf")),
    ("order", "both", "annotate order", float("inf")),
    ("stage", "both", "stage", float("inf")),
    ("measure", "both", "measure", float("inf")),
    ("validate", "both", "validate", GatesConfig().scan_rows / KEPT),
    ("report", "both", "report", MAX_DRAWN * ROWS_PER_LEAF),
    ("publish", "both", "publish", float("inf")),
)
VECTORS = ("ingest of vectors", "dedup: zero vectors, ledger", "dedup: exact")
TEXTS = ("ingest of texts", "embed: tf-idf and SVD", "dedup: zero vectors, ledger", "dedup: exact", "dedup: MinHash")
ALWAYS = (
    "cluster: sort into groups", "cluster: k-means of the groups", "cluster: nearest leaf", "cluster: levels above",
    "partition, with its probe", "kernel density of the leaves", "sample, balanced", "stage", "measure", "validate",
    "report", "publish",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A row of the table: a step, its law, CPU-seconds for a million rows as measured, and its cost.

    missing: nothing of it is measured. gpu: seconds of a device, by what was measured of one; None where nothing was.
    """

    name: str
    law: str
    cost: Cost
    measured: float | None = None
    missing: bool = False
    gpu: float | None = None


def lines_of(found: Mapping[str, Any], shape: Shape, device: DeviceRates) -> list[Line]:
    """Return all steps in the order of a run. found: what `bench_rates` has measured."""
    linear = {line.name: line for line in _linear(found, shape)}
    before = [line for name, line in linear.items() if name not in ("thin",)]
    order = [line.name for line in before]
    cut = order.index("dedup: MinHash") + 1
    clusters = [*_semantic(found, shape), *_cluster(found, shape, device)]
    after = before[cut:]
    at_probe = [line.name for line in after].index("partition, with its probe") + 1
    return [*before[:cut], *clusters, linear["thin"], *after[:at_probe], _density(found, shape), *after[at_probe:]]


def _density(found: Mapping[str, Any], shape: Shape) -> Line:
    """Return the cost of comparing every leaf with at most 12,000, from that of a pair."""
    leaves = [rows // ROWS_PER_LEAF for rows in found["sizes"]["both"]]
    taken = [found["flows"][f"both-{rows}"]["kernel-density"]["cpu"] for rows in found["sizes"]["both"]]
    pairs = [count * min(count, MAX_LEAVES) for count in leaves]
    each = max(0.0, taken[1] - taken[0]) / (pairs[1] - pairs[0])
    read = shape.leaves * shape.dimension * float(ITEM)
    cost = Cost(driver=each * shape.leaves * min(shape.leaves, MAX_LEAVES), read=read, threads=CORES)
    cost = remembered(cost, found, "kernel-density", shape.rows, *VECTORS_FIRST)
    return Line("kernel density of the leaves", "leaves^2, from 12,000 on leaves", cost)


def _linear(found: Mapping[str, Any], shape: Shape) -> Iterator[Line]:
    blocks = shape.rows / SourceConfig.model_fields["rows_per_block"].default
    for name, flow, step, most in LINEAR:
        few, many = found["sizes"][flow]
        taken = [found["flows"].get(f"{flow}-{rows}", {}).get(step) for rows in (few, many)]
        if None in taken:
            yield Line(name, "n", Cost(), missing=True)
            continue
        one = rate(taken[0], taken[1], (few, many), (few // ROWS_PER_BLOCK, many // ROWS_PER_BLOCK))
        rows = min(shape.rows, most)
        if (apart := found.get("apart", {}).get(step)) is not None:
            one = replace(one, worker=apart["seconds"] / apart["rows"], driver=0.0, read=0.0, written=0.0)
        cost = at(one, rows, blocks if most == float("inf") else 0)
        cost = cost + _between(name, shape, blocks)
        if step == "embed":
            # the map is fitted on no more rows, which are held whole
            cost = replace(cost, driver=one.driver * TfidfSvdEmbedding().sample, memory=float(taken[1]["driver"]))
        pools = TEXTS_ONLY if flow == "texts" else VECTORS_FIRST
        law = "n" if rows == shape.rows else f"n, up to {rows:,.0f} rows"
        yield Line(name, law, remembered(cost, found, step, shape.rows, *pools), 1e6 * (one.worker + one.driver))


def _between(name: str, shape: Shape, blocks: float) -> Cost:
    """Return the requests of files that every block writes and every range reads, beyond the one range measured."""
    ranges = -(-shape.rows // (RECORDS_PER_RANGE if name == "dedup: exact" else ROWS_PER_RANGE))
    pool = shape.rows * shape.dimension * ITEM
    if name == "dedup: exact":
        return Cost(gets=2 * blocks * (ranges - 1))
    if name == "dedup: MinHash":
        return Cost(gets=2 * blocks * (ranges - 1) * BANDS)
    if name == "signal: neighbour distance":  # written by run and by cell; a cell is read for itself and eight others
        return Cost(read=(2 + NEXT + 1) * pool, written=2.0 * pool, gets=(NEXT + 1.0) * shape.leaves)
    return Cost()


def planned(shape: Shape) -> Requirements:
    """Return the memory of the driver and of a worker, and the disk, that `evenkeel plan` says for such a pool."""
    levels = tuple(derive_levels(shape.rows))
    work = Workload(shape.rows, shape.dimension, shape.dimension, TEXT, TEXT, levels, int(KEPT * shape.rows))
    compute = Compute(
        workers=WORKERS, worker_threads=CORES, memory_limit=64 * GIB, driver_limit=1 << 40, here=False, start=_none
    )
    blocks = SourceConfig.model_fields["rows_per_block"].default
    limits = ResourceLimits(blocks, ClusteringConfig().memory_gib, ITEM, compute, largest=1e-3)
    return requirements(work, limits)


def _none() -> "Client":
    raise AssertionError("nothing is computed for a plan")


def remembered(cost: Cost, found: Mapping[str, Any], step: str, rows: float, *pools: str) -> Cost:
    """Return a cost with the memory of the driver at most, by the first of these pools that took the step.

    It is what the driver held of two sizes of the pool, and the growth from there on, with what the cost has already:
    that of work whose rows are as wide as those of the table.
    """
    held = next((one for pool in pools if (one := held_at_most(found, pool, step, rows)) is not None), None)
    return cost if held is None else replace(cost, memory=(cost.memory or 0.0) + held)


def held_at_most(found: Mapping[str, Any], pool: str, step: str, rows: float) -> float | None:
    """Return the bytes that the driver holds of so many rows, in a line through two sizes; None where not measured.

    The line begins at the least that any run held of the smaller pool, and goes through the most of the larger one.
    """
    few, many = found["sizes"].get(pool, (0, 0))
    held = [found.get("peaks", {}).get(f"{pool}-{size}", {}).get(step) for size in (few, many)]
    if None in held:
        return None
    least, most = min(held[0]), max(held[1])
    return float(most + max(0.0, (most - least) / (many - few)) * (rows - many))


def _cluster(found: Mapping[str, Any], shape: Shape, device: DeviceRates) -> Iterator[Line]:
    parts, config, pool = found["parts"], ClusteringConfig(), shape.rows * shape.dimension * ITEM
    centroids = shape.leaves * shape.dimension * ITEM
    runs = -(-shape.rows // int(config.memory_gib * GIB / (RUN_COPIES * ITEM * shape.dimension)))
    blocks = shape.rows / SourceConfig.model_fields["rows_per_block"].default
    sorted_rows, fitted = parts["split: sort by group"], parts["split: fit groups"]
    sample = config.memory_gib * GIB / memory_of(shape.dimension, ITEM, config)
    fit = _scaled(fitted, sample, shape.groups, shape)
    each = sorted_rows["seconds"] / sorted_rows["rows"]
    whole = float(found["sample"]["memory"]) if "sample" in found else None
    cost = Cost(each * shape.rows, fit, pool, pool, 2 * blocks, 2.0 * runs, CORES, whole)
    yield Line(
        "cluster: sort into groups",
        f"n x groups (here {shape.groups:,}; groups grow with n)",
        remembered(cost, found, "cluster sort", shape.rows, GROUPS),
        1e6 * each,
        gpu=device.compare(shape.rows, shape.groups, shape.dimension),
    )
    group = parts["group: k-means"]
    each = group["seconds"] / group["rows"]
    cost = Cost(each * shape.rows, 0, pool, centroids, 2.0 * shape.groups * runs, 4.0 * shape.groups)
    yield Line(
        "cluster: k-means of the groups",
        f"n, at {shape.group_rows:,} rows and {shape.group_leaves:,} leaves a group",
        remembered(cost, found, "cluster groups", shape.rows, GROUPS),
        1e6 * each,
        gpu=shape.groups
        * (1 + config.resampling)
        * device.k_means(shape.group_rows, shape.group_leaves, shape.dimension),
    )
    rows = [(leaves, parts[f"label: rows, {leaves:,} leaves"]) for leaves in (FEW_LEAVES, MANY_LEAVES)]
    few, many = ((leaves, part["seconds"] / part["rows"]) for leaves, part in rows)
    each = through_root(few, many, shape.leaves)
    made = [parts[f"label: index of {leaves:,} leaves"] for leaves in (FEW_LEAVES, MANY_LEAVES)]
    first, last = ((part["rows"], part["seconds"]) for part in made)
    build = power_and_line(first, last, shape.leaves)
    sums = float(LEAF_SUMS.itemsize * shape.rows)  # of a block, where hardly two rows share a leaf
    cost = Cost(
        each * shape.rows, build, pool + WORKERS * (centroids + ITEM * shape.rows) + sums,
        (16.0 + ITEM) * shape.rows + sums + centroids, 3.0 * blocks + shape.groups, 2.0 * blocks, CORES,
        _held(made[0], made[1], shape),
    )  # fmt: skip
    yield Line(
        "cluster: nearest leaf",
        "n x (a + b root of the leaves); its index: leaves^1.5",
        remembered(cost, found, "cluster label", shape.rows, GROUPS),
        1e6 * each,
        gpu=device.compare(shape.rows, shape.leaves, shape.dimension),
    )
    totals = [parts[f"upper: {count:,} leaves"] for count in (FEW_MERGED, MANY_MERGED)]
    parting = [parts[f"upper: parting {count:,} leaves"]["seconds"] for count in (FEW_MERGED, MANY_MERGED)]
    merging = [total["seconds"] - part for total, part in zip(totals, parting, strict=True)]
    each = (merging[1] - merging[0]) / (MANY_MERGED - FEW_MERGED)
    levels = shape.leaves / (1 - 1 / FAN_IN)  # a tenth of the leaves are merged again, and a tenth of those
    grown = grouping_growth(MANY_MERGED, shape.leaves, shape.dimension)
    yield Line(
        "cluster: levels above",
        "leaves; parting them: leaves^1.4",
        Cost(
            0, each * levels + grown * parting[1], 0, 2 * centroids, 0, 30, CORES,
            _held(totals[0], totals[1], shape),
        ),
    )  # fmt: skip


def _semantic(found: Mapping[str, Any], shape: Shape) -> Iterator[Line]:
    parts = found["parts"]
    pool, blocks = shape.rows * shape.dimension * ITEM, shape.rows / 65_536
    place, compare, fitted = (parts[f"semantic: {name}"] for name in ("place", "compare", "fit cells"))
    batches, runs = min(shape.rows / ROWS_PER_BATCH, MAX_BATCHES), pool / RUN_BYTES
    each = place["seconds"] / place["rows"] + compare["seconds"] / compare["rows"]
    fit = _scaled(fitted, shape.cells * ROWS_TO_FIT_A_CELL, shape.cells, shape)
    cost = (
        Cost(each * shape.rows, fit, 3.0 * pool, pool, 3 * blocks + 2 * batches * runs, blocks + runs, CORES) * PASSES
    )
    yield Line(
        f"dedup: semantic, {PASSES} passes",
        "n^1.5 up to 32,768 cells (a billion rows have 31,622), beyond that n^2",
        remembered(cost, found, "dedup semantic", shape.rows, *VECTORS_FIRST),
        1e6 * each * PASSES,
    )


def _scaled(part: Mapping[str, Any], rows: float, clusters: float, shape: Shape) -> float:
    """Return the seconds of a k-means, scaled from a measured one as the plan expects it to grow."""
    measured = part["sizes"].get("groups") or part["sizes"]["cells"]
    growth = k_means_seconds(rows, clusters, shape.dimension) / k_means_seconds(part["rows"], measured, shape.dimension)
    return float(part["seconds"] * growth)


def _held(few: Mapping[str, Any], many: Mapping[str, Any], shape: Shape) -> float | None:
    """Return the bytes that work on all leaves holds, by the peaks of two numbers of them; None without these."""
    if not (few["memory"] and many["memory"]):
        return None
    return float((many["memory"] - few["memory"]) / (many["rows"] - few["rows"]) * shape.leaves)


def total(lines: Sequence[Line], names: Sequence[str] | None = None) -> Cost:
    """Return the cost of some lines, or of all."""
    found = Cost()
    for line in lines:
        if names is None or line.name in names:
            found = found + line.cost
    return found


def table(lines: Sequence[Line]) -> list[str]:
    """Return the lines of a Markdown table, with sums."""
    head = (
        "step", "grows with", "CPU-s for a million rows", "CPU-hours", "of which the driver", "read, TB",
        "written, TB", "requests, millions", "driver at most, GB", "wall, hours", "$", "GPU-hours at most",
    )  # fmt: skip
    rows = [f"| {' | '.join(head)} |", "| --- | --- |" + " ---: |" * (len(head) - 2)]
    for line in lines:
        row = _row(line.name, line.law, line.measured, line.cost, line.gpu)
        rows.append(f"| {line.name} | {line.law} |" + " not measured |" * (len(head) - 2) if line.missing else row)
    sums = (
        ("**vectors, default recipe**", [*VECTORS, *ALWAYS]),
        ("**texts, default recipe**", [*TEXTS, *ALWAYS]),
        ("**every step above**", None),
    )
    for name, some in sums:
        rows.append(_row(name, "", None, total(lines, some)))
    return rows


def _row(name: str, law: str, measured: float | None, cost: Cost, gpu: float | None = None) -> str:
    memory = "not measured" if cost.memory is None else f"{cost.memory / 1e9:,.1f}"
    cells = (
        name, law, "" if measured is None else _number(measured), _number(cost.cpu_hours), _number(cost.driver / 3600),
        f"{cost.read / 1e12:,.2f}", f"{cost.written / 1e12:,.2f}",
        _number((cost.gets + cost.puts) / 1e6), memory, f"{cost.wall_hours():.2f}", f"{cost.dollars():,.2f}",
        "" if gpu is None else _number(gpu / HOUR),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def stored(lines: Sequence[Line]) -> float:
    """Return the dollars a month for what the steps write, all kept."""
    return total(lines).written / 1e9 * PRICES.gb_month
