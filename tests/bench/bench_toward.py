"""What the rules of `toward` find: `python -m tests.bench.bench_toward [--seeds 3] [--folder F] [docstrings digits]`.

A class of the pool is hidden; 100 rows of it are the target, and as many rows are chosen as the class has left. Lift:
the share of the class among the chosen rows over its share of the pool. Distances of the chosen rows to the target are
given as shares of those of a random draw: ngrams = divergence of the target's n-grams from theirs, transport, mmd and
frechet between vectors. prefix: Frechet distance of the prefix over that of the pool, of means and covariances on the
rule's own axes. The table goes to docs/TARGETS.md.
"""

import argparse
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evenkeel.flows.around_clustering import compute_signal
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.sample.strategies.toward import TargetWeights, Toward
from evenkeel.tasks.signal.toward.frechet import Moments, frechet
from evenkeel.tasks.signal.toward.ngrams import count_ngrams
from evenkeel.tasks.signal.toward.sinkhorn import squared_distances, transport
from tests.bench.toward_pools import LabelledPool, digits_pool, docstrings_pool

PAGE = Path(__file__).parents[2] / "docs" / "TARGETS.md"
RULES: dict[str, dict[str, Any]] = {
    "by: ngrams": {"by": "ngrams"},
    "by: ngrams, per_token: true": {"by": "ngrams", "per_token": True},
    "by: ngrams, floor_probability: 1e-8 (DSIR as published)": {"by": "ngrams", "floor_probability": 1e-8},
    "by: classifier": {"by": "classifier"},
    "by: classifier, teacher: similarity (BETR)": {"by": "classifier", "teacher": "similarity"},
    "by: clusters": {"by": "clusters"},
    "by: clusters, assign: hard": {"by": "clusters", "assign": "hard"},
    "by: clusters, draw: gumbel": {"by": "clusters", "draw": "gumbel"},
    "by: transport": {"by": "transport"},
    "by: transport (GOT-D as published: take is not known)": {"by": "transport", "known": False},
    "by: prefix": {"by": "prefix"},
}
BUCKETS, SAMPLE = 10_000, 1000
Found = dict[str, float]


def measure(pool: LabelledPool, seeds: int, folder: Path) -> dict[str, list[Found]]:
    """Return lift and distances of every rule, for each class and seed."""
    found: dict[str, list[Found]] = {}
    for number, (label, target) in enumerate(pool.aims(seeds)):
        seed = number // 8
        uri = pool.write_target(target, folder / f"{label}-{seed}")
        free = pool.kept.copy()
        free[target] = False
        size = int((free & (pool.classes == label)).sum())
        near = distances_to(pool, target)
        random = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(free))[:size]
        of_random = near(random)
        for name, options in RULES.items():
            if options["by"] == "ngrams" and not pool.texts:
                continue
            rows, ref = chosen(pool, uri, options, free, size, seed)
            share = float((pool.classes[rows] == label).mean())
            one = {"lift": share * free.sum() / size, "share": share}
            one |= {key: value / (1 if key == "length" else of_random[key]) for key, value in near(rows).items()}
            if options["by"] == "prefix":
                facts = ref.facts
                one["prefix"] = float(str(facts["frechet"])) / float(str(facts["frechet_of_pool"]))
            found.setdefault(name, []).append(one)
            print(label, seed, name, {key: round(value, 3) for key, value in one.items()}, flush=True)
    return found


def chosen(
    pool: LabelledPool, uri: Path, options: dict[str, Any], free: np.ndarray, size: int, seed: int
) -> tuple[np.ndarray, StepRef]:
    """Return the positions of the rows that the strategy's draw takes among free ones, and its signal."""
    given = {name: value for name, value in options.items() if name != "known"}
    strategy = Toward.model_validate({"target": {"uri": str(uri)}, **given})
    strategy = strategy.with_amount(size if options.get("known", True) else None)
    [signal] = strategy.signals()
    ref = compute_signal(signal.current(), pool.steps.steps(), pool.run_step)
    rows = Pool.open(pool.steps.ingest, signals={"toward": ref})
    table = pa.table({name: rows.column(name) for name in ("score.toward", "identity")})
    weight = TargetWeights(strategy.how(), seed)(table, "")
    weight = np.where(free, weight, -1.0)
    order = np.lexsort((np.random.default_rng(seed).permutation(len(weight)), -weight))
    first = order[:size]
    return first[weight[first] > 0], ref


def distances_to(pool: LabelledPool, target: np.ndarray) -> Callable[[np.ndarray], Found]:
    """Return the distances of chosen rows to the target's rows."""
    aim = pool.vectors[target].astype(np.float64)
    wanted = Moments.of(aim, np.zeros(len(aim), np.int64), 1)
    every = pool.vectors[np.flatnonzero(pool.kept)].astype(np.float64)
    width = float(((every - every.mean(0)) ** 2).sum(1).mean())
    even = np.full(len(aim), 1 / len(aim))

    def words(rows: np.ndarray) -> np.ndarray:
        return count_ngrams(pa.chunked_array([pa.array(pool.contents[rows], pa.string())]), BUCKETS)

    said = words(target) if pool.texts else np.empty(0)
    long = length(pool.contents[target]) if pool.texts else 1.0

    def near(rows: np.ndarray) -> Found:
        x = pool.vectors[rows].astype(np.float64)
        some = x[np.linspace(0, len(x) - 1, min(len(x), SAMPLE)).astype(int)]
        cost = squared_distances(some, aim)
        found = {
            "transport": transport(np.full(len(some), 1 / len(some)), even, cost, 0.05).cost,
            "frechet": float(frechet(Moments.of(x, np.zeros(len(x), np.int64), 1), wanted)[0]),
            "mmd": discrepancy(some, aim, width),
        }
        if not pool.texts:
            return found
        return {**found, "ngrams": divergence(said, words(rows)), "length": length(pool.contents[rows]) / long}

    return near


def length(texts: np.ndarray) -> float:
    """Return the median number of words of some texts."""
    return float(np.median([len(text.split()) for text in texts]))


def discrepancy(x: np.ndarray, y: np.ndarray, width: float) -> float:
    """Return the unbiased squared maximum mean discrepancy by all pairs of rows."""

    def mean(a: np.ndarray, b: np.ndarray, same: bool) -> float:
        kernel = np.exp(-squared_distances(a, b) / (2 * width))
        return float((kernel.sum() - same * len(a)) / (len(a) * (len(b) - same)))

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def divergence(wanted: np.ndarray, counts: np.ndarray) -> float:
    """Return the divergence of one histogram from another in nats, half a count added to each bucket."""
    p, q = wanted / wanted.sum(), (counts + 0.5) / (counts + 0.5).sum()
    held = p > 0
    return float((p[held] * np.log(p[held] / q[held])).sum())


def table(pool: LabelledPool, found: dict[str, list[Found]]) -> list[str]:
    """Return the lines of a table: means over classes and seeds, with the least lift and the largest transport."""
    keys = ["transport", "mmd", "frechet", *(["ngrams", "length"] if pool.texts else [])]
    titles = " | ".join(["transport (largest)", *keys[1:]])
    lines = [f"| rule | lift (least) | share | {titles} |", "| --- |" + " ---: |" * (len(keys) + 2)]
    for name, many in found.items():
        lift, share = ([one[key] for one in many] for key in ("lift", "share"))
        cells = [f"{np.mean(lift):.1f} ({np.min(lift):.1f})", f"{np.mean(share):.0%}"]
        cells += [f"{np.mean([one[key] for one in many]):.2f}" for key in keys]
        cells[2] += f" ({max(one['transport'] for one in many):.2f})"
        rule, _, paper = name.partition(" (")
        lines.append(f"| `{rule}`{paper and f' ({paper}'} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure the pools that are named, and write their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pools", nargs="*", default=["docstrings", "digits"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", help="where pools are kept, so that a second run clusters nothing")
    arguments = parser.parse_args()
    makers = {"docstrings": docstrings_pool, "digits": digits_pool}
    with tempfile.TemporaryDirectory() as place:
        for name in arguments.pools:
            folder = Path(arguments.folder or place) / name
            pool = makers[name](folder)
            found = measure(pool, arguments.seeds, folder / "targets")
            lines = table(pool, found)
            prefix = [one["prefix"] for one in found["by: prefix"]]
            size = f"{int(pool.kept.sum()):,} rows, {len(found['by: prefix'])} targets"
            close = (
                f"Frechet distance of the prefix over the pool's: {np.mean(prefix):.2f} ({np.max(prefix):.2f} at most)."
            )
            print("\n".join(lines), size, close, sep="\n")
            write(name, [f"{size}. {close}", "", *lines])


def write(name: str, lines: list[str]) -> None:
    """Put lines between the marks of a pool in docs/TARGETS.md."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    body = "\n".join([begin, *lines, end])
    PAGE.write_text(re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: body, PAGE.read_text(), flags=re.S))


if __name__ == "__main__":
    main()
