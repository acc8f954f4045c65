"""What every step takes for a million rows of 768 numbers and 2 kB of text, and so what a billion rows cost.

    python -m tests.bench.bench_rates [--rows 100000] [--dimension 768] [--only both texts vectors narrow parts]

Every pool runs at two sizes, a quarter of the rows and all of them, each in a process of its own, without Prefect: what
a row more takes is the difference. `parts` measures what depends on the size of the pool at the sizes that a billion
rows have (`rates_at_scale`). `narrow` is for the memory of the driver, on two Dask workers: five times the rows, with 8
numbers each through the same steps (`narrow-vectors`), as texts of 24 words up to deduplication (`narrow-texts`), and
clustered in groups (`narrow-groups`), for which the driver also fits the groups on a sample as large as that of a
billion rows. With `--again` a second run counts beside the first. Results are kept in docs/performance/rates.json, and
written into docs/SCALE.md; `--only` without a name writes the page alone.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from tests.bench.billion import BYTES_PER_SECOND, CORES, HOUR, PRICES, WORKERS, DeviceRates
from tests.bench.performance_page import PAGE, write_section
from tests.bench.rates_pool import ROWS_PER_BLOCK, Asked, Columns, LastStep, recipe_over, write_pool

ROOT = Path(__file__).resolve().parents[2]
SCALE = PAGE.with_name("SCALE.md")
RESULTS = ROOT / "docs" / "performance" / "rates.json"
ON_A_DEVICE = RESULTS.with_name("gpu.json")
BILLION = 10**9
FEWER = 4  # times, in the smaller of the two sizes
ROWS_OF_PARTS = 60_000  # of the pool that parts read from; groups and leaves are made beside it
NARROW, NARROWER = 5, 8  # times the rows, and numbers of a row
FEWER_WORDS = 24  # of a text of `narrow-texts`
OF_A_GROUP = 0.01  # GiB for one k-means of `narrow-groups`: some 15,000 rows, so that groups are many
WARM_UP, NARROW_WARM_UP = 5_000, 40_000  # rows of a run that is not measured, so that machine code is on disk
FLOWS = ("both", "texts", "vectors")
NARROW_FLOWS = ("narrow-vectors", "narrow-texts", "narrow-groups")
PARTS = (*FLOWS, *NARROW_FLOWS, "parts")


def main() -> None:
    """Measure what is asked for, keep it, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--only", nargs="*", choices=(*PARTS, "narrow"), default=PARTS)
    parser.add_argument(
        "--again", action="store_true", help="what the driver held in earlier runs of a size counts too"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        _measure_here(arguments.child)
        return
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not found or found["dimension"] != arguments.dimension:
        found = {"dimension": arguments.dimension, "sizes": {}, "flows": {}, "parts": {}}
    asked = set(arguments.only) | (set(NARROW_FLOWS) if "narrow" in arguments.only else set())
    sizes = [arguments.rows // FEWER, arguments.rows]
    if "both" in asked:
        found.pop("apart", None)
    found["sizes"] |= {part: sizes for part in FLOWS if part in asked}
    found["sizes"] |= {part: [NARROW * size for size in sizes] for part in NARROW_FLOWS if part in asked}
    if not arguments.again:
        for name in [f"{part}-{rows}" for part in asked & set(NARROW_FLOWS) for rows in found["sizes"][part]]:
            found.setdefault("peaks", {}).pop(name, None)
    found["machine"] = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    with tempfile.TemporaryDirectory() as folder:
        if "both" in asked:
            _curate(Path(folder) / "warm-up", Asked(WARM_UP, arguments.dimension, "both"))
        for part in (one for one in PARTS if one in asked):
            _measure(part, found, Path(folder))
            RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    if missing := _missing(found):
        print("the page is written once there is also:", ", ".join(missing))
    else:
        write_page(found)


def _missing(found: dict[str, Any]) -> list[str]:
    """Return the parts that are not measured yet."""
    flows = {name: name in found["sizes"] for name in FLOWS}
    there = {**flows, "parts": bool(found["parts"])}  # without `narrow` the memory of the driver is not measured
    return [name for name in there if not there[name]]


def _measure(part: str, found: dict[str, Any], folder: Path) -> None:
    """Measure one part and put it among what was found."""
    if part == "parts":
        home = folder / "pool-of-parts"
        _curate(home, Asked(ROWS_OF_PARTS, found["dimension"], "vectors", until="embed"))
        found["parts"] = _in_process(home, "parts")
        return
    if part == "narrow-groups":
        (home := folder / "sample").mkdir()
        found["sample"] = _in_process(home, "sample", {"dimension": found["dimension"]})
    if part in NARROW_FLOWS:
        _curate(folder / f"{part}-warm-up", _asked(part, NARROW_WARM_UP, found["dimension"]))
    for rows in found["sizes"][part]:
        name = f"{part}-{rows}"
        steps = found["flows"][name] = _curate(home := folder / name, _asked(part, rows, found["dimension"]))
        if part in NARROW_FLOWS:
            peaks = found.setdefault("peaks", {}).setdefault(name, {})
            for step, took in steps.items():
                peaks.setdefault(step, []).append(took["driver"])
        RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        shutil.rmtree(home)


def _asked(part: str, rows: int, dimension: int) -> Asked:
    """Return the pool of a part."""
    narrow = {
        "narrow-vectors": Asked(rows, NARROWER, "vectors", workers=True),
        "narrow-texts": Asked(rows, NARROWER, "texts", FEWER_WORDS, "dedup", workers=True),
        "narrow-groups": Asked(rows, NARROWER, "vectors", until="cluster", memory_gib=OF_A_GROUP, workers=True),
    }
    until: LastStep = "publish" if part == "both" else "embed"
    return narrow.get(part) or Asked(rows, dimension, cast(Columns, part), until=until)


def _curate(home: Path, asked: Asked) -> dict[str, Any]:
    """Write a pool below `home`, run its recipe there in a process of its own, and return what every step took."""
    home.mkdir(parents=True)
    write_pool(home / "pool", asked)
    return _in_process(home, asked.until, recipe_over(home / "pool", home, asked))


def _in_process(home: Path, what: str, recipe: dict[str, Any] | None = None) -> dict[str, Any]:
    """Measure a recipe up to the step `what`, or the parts over what it has left, in a process of its own."""
    if recipe is not None:
        (home / "recipe.json").write_text(json.dumps(recipe))
    (home / "what").write_text(what)
    command = [sys.executable, "-m", "tests.bench.bench_rates", "--child", str(home)]
    subprocess.run(command, check=True, stdout=sys.stderr, cwd=ROOT)
    measured: dict[str, Any] = json.loads((home / "found.json").read_text())
    return measured


def _measure_here(home: Path) -> None:
    """Measure in this process what the folder asks for, and leave there what was found."""
    from evenkeel.infra.environment import set_defaults

    set_defaults()
    recipe, what = json.loads((home / "recipe.json").read_text()), (home / "what").read_text()
    if what == "sample":
        from tests.bench.rates_at_scale import Shape, measure_sample

        part = measure_sample(home, Shape.of(BILLION, recipe["dimension"]))
        (home / "found.json").write_text(json.dumps(vars(part)))
        return
    if what == "parts":
        from tests.bench.rates_at_scale import Shape, measure_parts

        refs = json.loads((home / "steps.json").read_text())
        dimension = json.loads((Path(refs["embed"]["uri"]) / "vectors.json").read_text())["dimension"]
        parts = measure_parts(refs, home / "parts", Shape.of(BILLION, dimension))
        (home / "found.json").write_text(json.dumps({name: vars(part) for name, part in parts.items()}))
        return
    steps, refs = take_steps(recipe, cast(LastStep, what))
    (home / "found.json").write_text(json.dumps(steps))
    (home / "steps.json").write_text(json.dumps(refs))


def take_steps(document: dict[str, Any], until: LastStep) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take a recipe through its steps in this process, without Prefect; return what each took, and where each lies.

    until: the last step. Those that the recipe does not ask for are left out.
    """
    from evenkeel.flows.around_clustering import before_clustering
    from evenkeel.flows.lineage import resolve_lineage
    from evenkeel.flows.pipeline import cluster_pool, prove_version, stage_version
    from evenkeel.flows.recipe import parse
    from evenkeel.flows.running import running
    from evenkeel.tasks.cluster.inputs import ClusterInputs
    from evenkeel.tasks.cluster.step import CLUSTER
    from evenkeel.tasks.embed.inputs import EmbedInputs
    from evenkeel.tasks.embed.step import EMBED
    from evenkeel.tasks.ingest.step import INGEST
    from evenkeel.tasks.inputs import NoInputs
    from evenkeel.tasks.publish.publish import publish
    from evenkeel.tasks.step import InProcess
    from tests.bench.bench_blocks import REST
    from tests.bench.rates_meter import RateMeter

    recipe, meter = parse(document), RateMeter()
    with running(recipe) as run:
        lineage, run_step = resolve_lineage(recipe, run.workspace), InProcess(run)
        meter.watch()
        if until == "publish":
            staged = stage_version(recipe, lineage, cluster_pool(recipe, lineage, run_step), run_step)
            proven = prove_version(recipe, run.workspace, staged, run_step)
            meter.turn("publish")
            publish(recipe.destination, recipe.dataset, proven.stage, {}, {}, run.workspace)
            meter.turn(REST)
            refs = proven.steps()
        else:
            ingest = run_step(INGEST, lineage.request, NoInputs())
            refs = {"ingest": ingest, "embed": run_step(EMBED, recipe.embedding, EmbedInputs(ingest))}
            if until != "embed":
                refs["dedup"] = before_clustering(recipe, refs, run_step).dedup
            if until == "cluster":
                refs["cluster"] = run_step(CLUSTER, recipe.clustering.fitting(), ClusterInputs(**refs))
    steps = {name: vars(one) for name, one in meter.steps.items()}
    return steps, {name: ref.model_dump(mode="json") for name, ref in refs.items()}


def device_rates() -> DeviceRates:
    """Return what was measured of a device."""
    return DeviceRates.of(json.loads(ON_A_DEVICE.read_text()))


def _about_memory(found: dict[str, Any]) -> str:
    """Return what the page says of how the driver's memory was measured."""
    from evenkeel.tasks.dedup.exact import RECORDS_PER_RANGE

    if not all(part in found["sizes"] for part in NARROW_FLOWS):
        return "What a step holds in the driver is given where it was measured."
    few, many = found["sizes"]["narrow-vectors"]
    flows = [f"{part}-{rows}" for part in NARROW_FLOWS for rows in found["sizes"][part]]
    peaks = [held for flow in flows for held in found["peaks"][flow].values()]
    apart = max(max(held) - min(held) for held in peaks)
    least, most = min(map(len, peaks)), max(map(len, peaks))
    times = "one run" if most == 1 else f"{most} runs" if least == most else f"{least} to {most} runs"
    return (
        f"Memory of the driver, at most (`--only narrow`): the most that it held of {many:,} rows and the least of "
        f"{few:,}, in {times} on two workers, as if it went on growing so. Runs differed by up to "
        f"{apart / 1e6:,.0f} MB, which are {apart / (many - few) * BILLION / 1e9:,.0f} GB here. Rows had {NARROWER} "
        f"numbers, or a text of {FEWER_WORDS} words where a step reads texts. That is too much: blocks had "
        f"{ROWS_PER_BLOCK:,} rows and groups some 15,000, so there were more of them for a row; records are sorted "
        f"{RECORDS_PER_RANGE / 1e6:.1f} million at a time, and a process keeps what it has freed. Where rows or "
        "centroids come to the driver whole, what these take is added, at their full width: the texts that an "
        f"embedding is fitted on, {found['sample']['rows']:,} rows that the groups are fitted on, and the leaves, by "
        "the peaks at two numbers of them."
    )


def write_page(found: dict[str, Any]) -> None:
    """Write the table into docs/SCALE.md, and print it."""
    from tests.bench.rates_at_scale import Shape
    from tests.bench.rates_page import lines_of, planned, stored, table, total

    shape, device = Shape.of(BILLION, found["dimension"]), device_rates()
    lines = lines_of(found, shape, device)
    sizes = {part: " and ".join(f"{one:,}" for one in some) for part, some in found["sizes"].items()}
    held = planned(shape)
    hours = sum(line.gpu or 0.0 for line in lines) / HOUR
    apart = "".join(
        f"The step `{step}` was measured apart, on {one['rows']:,} rows, its fixed part counted. "
        for step, one in found.get("apart", {}).items()
    )
    body = [
        f"{BILLION:,} rows x {shape.dimension} numbers (float32), with 2 kB of text each where a step reads texts, a "
        f"tenth of them kept, in {BILLION // 65_536 + 1:,} blocks; {shape.groups:,} groups of {shape.group_rows:,} "
        f"rows, {shape.leaves:,} leaves. Measured on {sizes['both']} rows (reading and embedding: {sizes['texts']} "
        f"with texts, {sizes['vectors']} with vectors; {found['machine']}, other work beside it): what a row more "
        "takes, so that what is fixed is not counted. Where the cost of a row depends on the pool, the part was "
        f"measured at the sizes above, or scaled by the law named. {apart}What `evenkeel plan` says of memory: "
        f"{held.driver / 1e9:,.0f} GB for the driver, {held.worker / 1e9:,.0f} GB for a worker. {_about_memory(found)}",
        "",
        *table(lines),
        "",
        f"Wall: on {WORKERS} workers of {CORES} cores, what it takes at least: CPU-hours of the workers over all "
        f"cores, or their bytes at {BYTES_PER_SECOND / 1e9:g} GB/s a worker (assumed, not measured), and then the "
        f"driver's. Money: {PRICES.source}, which changes: ${PRICES.vcpu_hour} for a vCPU-hour used, "
        f"${PRICES.put * 1000:g} for 1,000 requests that write and ${PRICES.get * 1000:g} for 1,000 others. All that "
        f"the steps write, kept for a month at ${PRICES.gb_month} for a GB, would be ${stored(lines):,.0f} more. "
        f"{WORKERS} workers that are held through the wall of every step would be "
        f"${total(lines).wall_hours() * WORKERS * CORES * PRICES.vcpu_hour:,.0f}.",
        "",
        f"GPU-hours: of the parts of clustering, at most, by what `python -m tests.bench.bench_gpu` measured of an "
        f"{device.machine}: {device.ranking / 1e12:.0f} TFLOP/s of ranking rows that are on the device, here with all "
        f"groups and all leaves (it looks at those near a row's group alone, which is not measured at this size), and "
        f"{device.fit:.2f} s of one k-means of {device.rows:,} x {device.dimension} into {device.clusters:,}, copies "
        f"included, grown with the numbers, for the first fit and every round. Together {hours:,.0f} GPU-hours, "
        f"${hours * PRICES.gpu_hour:,.0f} at ${PRICES.gpu_hour:.2f}. Copying rows to a device for the two others "
        "is not measured. A step without GPU-hours has none because nothing of it has been measured on a device; "
        "`make bench-gpu`, where there is one, takes texts and every step of a whole run there.",
    ]
    write_section("At a billion rows", "python -m tests.bench.bench_rates", "\n".join(body), SCALE)
    print("\n".join(body))


if __name__ == "__main__":
    main()
