"""What a trainer follows, and rows to choose: the figures of the bars in docs/TRAINING.md, on pools that tests plant.

python -m tests.bench.bench_training [fresh entropy influence rare anchors margins match probe]
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from evenkeel.infra.hashing import hash_identities
from evenkeel.infra.tables import write_table
from evenkeel.tasks.annotate.kinds.match import Match
from evenkeel.tasks.reading.stream import RowStream
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.greedy.influence import balanced_influence
from tests.annotate import test_made, test_match, test_weights
from tests.annotate.annotated import annotated
from tests.sample import test_greedy, test_to_label
from tests.sample.pools import make_run, sampled, write_pool


def fresh(folder: Path) -> str:
    """Ten epochs of a tenth of 200,000 rows."""
    rows = 200_000
    identity = hash_identities(3, np.arange(rows, dtype=np.uint64)).view(np.int64)
    write_table(
        f"{folder}/0.parquet", pa.table({"ek_identity": identity, "ek_copies": np.ones(rows, np.int32)}), 50_000
    )
    stream = RowStream(str(folder), columns=["ek_identity"], fresh=0.1, batch=4096)
    epochs = [np.concatenate([one["ek_identity"] for one in stream.batches(epoch)]) for epoch in range(10)]
    off = max(abs(len(one) - rows / 10) for one in epochs) / (rows * 0.09) ** 0.5
    return f"union {len(np.unique(np.concatenate(epochs))) / rows:.4f}, epochs off by {off:.2f} sigma at most"


def entropy(folder: Path) -> str:
    """Entropies of two columns over the best possible: of greedy, and of random rows."""
    return "; ".join(f"{greedy:.3f} (random {chance:.3f})" for greedy, chance in test_greedy.entropies_of_the_best())


def influence(folder: Path) -> str:
    """The worst task's mean influence, in deviations, of 100 in 2,000 rows: five tasks, one unlike the others."""
    found = []
    for seed in range(10):
        x = np.random.default_rng(seed).normal(0, 1, (2000, 5))
        x[:, 1:4] = x[:, :1] + 0.2 * x[:, 1:4]
        scaled = (x - x.mean(0)) / x.std(0)
        top = np.argsort(-scaled.sum(axis=1))[:100]
        found.append((scaled[balanced_influence(scaled, 100).order].mean(0).min(), scaled[top].mean(0).min()))
    greedy, best = np.mean(found, axis=0)
    return f"{greedy:.2f}, of the 100 largest sums {best:.2f}; above them in {sum(a > b for a, b in found)} of 10"


def rare(folder: Path) -> str:
    """1,663 digits with 40 of one class, 23 labels, 50 queries, ten seeds."""
    found, gains = [], []
    for seed in range(10):
        x, truth, leaf, labels = test_to_label.rare_digit(seed)
        _, rows = test_to_label.batch(folder / str(seed), x, leaf, labels, 50)
        chance = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(len(x)), list(labels)))[:50]
        known = [test_to_label.macro_accuracy(x, truth, [*labels, *asked]) for asked in (rows, chance)]
        found.append(int(truth[rows].sum()) + 3)
        gains.append(known[0] - known[1])
    told = f"{np.mean(found):.1f} rare rows on average, {min(found)} at least"
    return f"{told}; macro accuracy {np.mean(gains):+.3f} against random rows, {min(gains):+.3f} in the worst of ten"


def anchors(folder: Path) -> str:
    """Vectors read of 1,000,000 rows in 1,000 leaves, for 50 rows of two classes."""
    draw = np.random.default_rng(0)
    leaf = np.arange(1_000_000) % 1000
    x = (draw.normal(0, 9, (1000, 8))[leaf] + draw.normal(0, 0.3, (len(leaf), 8))).astype(np.float32)
    labels = np.full(len(leaf), "(none)", object)
    labels[:2] = ["a", "b"]
    done = write_pool(folder, x, levels=[leaf], groups={"labels": labels.tolist()}, block_rows=1 << 16)
    config = SamplingConfig.model_validate({"strategy": {"name": "to-label"}, "target": 50})
    ref = sampled(config, done, make_run(folder))
    return f"{ref.facts['read']:,} of 1,000,000 rows read: {ref.facts['read_share']:.2%}"


def margins(folder: Path) -> str:
    """How far margins are off, and the effective sample size, with two and three margins at once."""
    two = {"language": "uniform", "source": "uniform"}
    _, ref = test_weights.weighed(folder / "two", margins=two)
    _, three = test_weights.weighed(folder / "three", 1000, "flat", margins={**two, "length": "pool"})
    share = f"effective sample size {ref.facts['effective_share']:.2f} n with two uniform margins"
    return f"off by {max(float(one.facts['missed']) for one in (ref, three)):.1e} at most; {share}"


def match(folder: Path) -> str:
    """Standardised differences before and after."""
    _, (ref,) = annotated(test_match.pool(folder), folder, Match.model_validate(test_match.OPTIONS))
    before, after = ref.facts["difference_before"], ref.facts["difference_after"]
    return "; ".join(f"{name}: {before[name]:.2f} before, {abs(after[name]):.3f} after" for name in before)


def probe(folder: Path) -> str:
    """Area under the curve of a linear model of a thinned digit."""
    return "made rows {:.4f}, under-sampling {:.4f}".format(*test_made.areas_of_a_probe(folder))


BARS: dict[str, Callable[[Path], str]] = {
    one.__name__: one for one in (fresh, entropy, influence, rare, anchors, margins, match, probe)
}

if __name__ == "__main__":
    for name in sys.argv[1:] or BARS:
        with tempfile.TemporaryDirectory() as scratch:
            print(f"{name:10s} {BARS[name](Path(scratch))}", flush=True)
