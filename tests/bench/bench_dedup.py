"""Deduplication measured: exact, near (beside datatrove, alternating), semantic, and planted duplicates.

    EVENKEEL_BENCH_DATA=/path python -m tests.bench.bench_dedup [exact kernels near semantic planted]

What a part prints last is kept in docs/performance/dedup/ and stands in docs/PERFORMANCE.md. EVENKEEL_BENCH_ROUNDS: how
often peers take turns (3).
EVENKEEL_BENCH_DATA is a folder with `debian.parquet` (column `text`); without it the texts are the docstrings of this
Python environment. datatrove tokenises by white space here, which costs it less than the tokeniser it ships with, and
keeps digits and accents, so that all read the same words.
"""

import os
import re
import resource
import shutil
import statistics
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from evenkeel.infra.compute import Compute
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.config import DedupConfig, NearConfig, SemanticConfig
from evenkeel.tasks.dedup.drops import Drops
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.minhash import Bands, band_hashes
from evenkeel.tasks.dedup.near import near_duplicates
from evenkeel.tasks.dedup.stage import Stage
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.step import Run
from tests.bench.performance_page import write_section

BANDS, ROWS, SHINGLE, THRESHOLD = 14, 8, 5, 0.8  # datatrove's own; its chance to find a pair at 0.8 is 0.924
ROUNDS = int(os.environ.get("EVENKEEL_BENCH_ROUNDS", "3"))
KEPT = Path(__file__).parents[2] / "docs" / "performance" / "dedup"
NOTE = """Each part runs in a process of its own. CPU-seconds are of the step (or the kernel) alone and hardly
depend on what else the machine does; wall seconds do. Near duplicates run on one thread beside datatrove, in turn, on
31,794 package descriptions; brute force over all pairs says what is true."""


def main(wanted: list[str]) -> None:
    """Run the parts named, or all."""
    parts: dict[str, Callable[[Path], None]] = {
        "exact": bench_exact,
        "kernels": bench_kernels,
        "near": bench_near,
        "semantic": bench_semantic,
        "planted": bench_planted,
    }
    for name in wanted or parts:
        with tempfile.TemporaryDirectory() as folder:
            process = get_context("spawn").Process(target=_measured, args=(parts[name], Path(folder)))
            process.start()
            process.join()
            if process.exitcode:
                sys.exit(process.exitcode)
            printed = (Path(folder) / "printed.txt").read_text()
            print(printed)
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / f"{name}.txt").write_text(printed)
    kept = [(KEPT / f"{name}.txt").read_text() for name in parts if (KEPT / f"{name}.txt").exists()]
    body = "\n".join(f"```\n{text.strip()}\n```" for text in kept)
    write_section("Deduplication as printed", "make bench-dedup", f"{NOTE}\n\n{body}\n")


def _measured(part: Callable[[Path], None], folder: Path) -> None:
    """Run one part in a process of its own, so that its peak memory is its own."""
    with (folder / "printed.txt").open("w") as out, redirect_stdout(out):
        part(folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        load = os.getloadavg()[0]
        print(f"  peak memory of this process {peak:.2f} GiB; {load:.0f} processes wanted the machine's cores")


def bench_exact(folder: Path) -> None:
    """A million short texts, a tenth of them repeated."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(5000)])
    texts = [" ".join(row) for row in words[rng.integers(0, len(words), (900_000, 12))]]
    texts += [texts[i] for i in rng.integers(0, len(texts), 100_000)]
    run, inputs = _pool(folder, {"text": texts, **_points(len(texts))}, threads=2)
    del texts
    started, before = time.perf_counter(), time.process_time()
    ref = DEDUP(DedupConfig(near=None), DedupInputs.of(inputs), run)
    seconds, cpu = time.perf_counter() - started, time.process_time() - before
    print("exact: 1,000,000 texts of 12 words")
    print(f"  ingest, which hashes them, {inputs['ingest'].seconds:.1f} s on 2 cores")
    print(f"  dedup step {seconds:.2f} s on 2 cores ({cpu:.2f} CPU-s), {ref.counts['exact']:,} rows dropped")


def bench_kernels(folder: Path) -> None:
    """Signatures of 112 hashes per text: ours, rensa, datasketch."""
    from datasketch import MinHash
    from rensa import CMinHash, RMinHash

    texts = _real_texts()[:5000]
    column, config = pa.chunked_array([pa.array(texts)]), NearConfig(shingle=SHINGLE)
    size = BANDS * ROWS

    def with_rensa(kind: Any) -> None:
        for shingles in map(_shingles, texts):
            kind(num_perm=size, seed=1).update([" ".join(shingle) for shingle in shingles])

    def with_datasketch() -> None:
        for shingles in map(_shingles, texts):
            MinHash(num_perm=size).update_batch([" ".join(shingle).encode() for shingle in shingles])

    peers: dict[str, Callable[[], Any]] = {
        "numba (ours)": lambda: band_hashes(column, config, Bands(BANDS, ROWS)),
        "rensa CMinHash": lambda: with_rensa(CMinHash),
        "rensa RMinHash": lambda: with_rensa(RMinHash),
        "datasketch": with_datasketch,
        "shingles alone, in Python": lambda: [len(_shingles(text)) for text in texts],
    }
    band_hashes(column.slice(0, 10), config, Bands(BANDS, ROWS))
    print(f"kernels: texts/s per core, {size} hashes, {SHINGLE}-word shingles, from the text on")
    for name, rates in _alternating(peers, len(texts)).items():
        print(f"  {name:28} {rates:>10,.0f}")


def bench_near(folder: Path) -> None:
    """The whole of MinHash deduplication, ours and datatrove's, on the same texts, alternating, one core each."""
    texts = _real_texts()
    run, inputs = _pool(folder, {"text": texts, **_points(len(texts))}, threads=1)
    pool = Pool.open(inputs["ingest"])
    row_of = {row_id: i for i, row_id in enumerate(pool.row_ids().tolist())}
    nothing = folder / "nothing"
    Drops.none().write(str(nothing))
    settings = {
        "ours, datatrove's bands": NearConfig(threshold=THRESHOLD, shingle=SHINGLE, recall=0.92),
        "ours, recall 0.98": NearConfig(threshold=THRESHOLD, shingle=SHINGLE, recall=0.98),
        "ours, 0.98, linked": NearConfig(threshold=THRESHOLD, shingle=SHINGLE, recall=0.98, groups="linked"),
    }
    results: dict[str, list[np.ndarray]] = {}

    def ours(name: str) -> None:
        shutil.rmtree(folder / "near", ignore_errors=True)
        stage = Stage(pool, Vectors.open(inputs["embed"]), None, Duplicates.open(str(nothing)), str(folder / "near"))
        drops, _ = near_duplicates(stage, settings[name], run)
        results[name] = [np.array([row_of[int(row)] for row in ids]) for ids in (drops.row_id, drops.duplicate_of)]

    def datatrove() -> None:
        results["datatrove"] = _datatrove(texts, folder / "datatrove")

    ours("ours, 0.98, linked")
    peers: dict[str, Callable[[], Any]] = {**{name: partial(ours, name) for name in settings}, "datatrove": datatrove}
    rates = _alternating(peers, len(texts))
    truth = _true_pairs(texts, THRESHOLD)
    print(f"near: {len(texts):,} texts, {SHINGLE}-word shingles, {BANDS} bands of {ROWS}, Jaccard >= {THRESHOLD}")
    print(f"  brute force finds {len(truth):,} pairs")
    with_pair = np.zeros(len(texts), bool)
    with_pair[truth] = True
    for name, rate in rates.items():
        dropped, stands = results[name]
        kept = np.ones(len(texts), bool)
        kept[dropped] = False
        left = (kept[truth[:, 0]] & kept[truth[:, 1]]).mean()
        own = {(min(a, b), max(a, b)) for a, b in zip(dropped.tolist(), stands.tolist(), strict=True)}
        known = {(int(a), int(b)) for a, b in truth}
        print(f"  {name:24} {rate:>9,.0f} texts per CPU second; {len(dropped):,} rows dropped")
        print(f"    pairs found {1 - left:.4f}; rows dropped that have no pair {int((~with_pair[dropped]).sum()):,};")
        print(f"    rows that are a pair with their representative {len(own & known) / max(len(own), 1):.4f}")
    print(f"  ours at recall 0.98 / datatrove {rates['ours, recall 0.98'] / rates['datatrove']:.1f}x")


def bench_semantic(folder: Path) -> None:
    """200,000 vectors of 384 dimensions, a tenth of them near copies, compared inside clusters."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2000, 384)).astype("f4")
    points = centres[rng.zipf(1.3, 200_000) % 2000] + 0.8 * rng.normal(size=(200_000, 384)).astype("f4")
    copies, sources = np.arange(180_000, 200_000), rng.choice(180_000, 20_000, replace=False)
    points[copies] = points[sources] + 0.15 * 1.28 * rng.normal(size=(20_000, 384)).astype("f4")
    np.save(folder / "points.npy", points)
    run, inputs = _pool(folder, None, threads=2, uri=str(folder / "points.npy"))
    started, before = time.perf_counter(), time.process_time()
    ref = DEDUP(DedupConfig(exact=False, near=None, semantic=SemanticConfig(epsilon=0.05)), DedupInputs.of(inputs), run)
    seconds, cpu = time.perf_counter() - started, time.process_time() - before
    dropped = Duplicates.open(ref).dropped()
    row_of = {row_id: i for i, row_id in enumerate(Pool.open(inputs["ingest"]).row_ids().tolist())}
    ids = [[row_of[row] for row in dropped[side].to_pylist()] for side in ("row_id", "duplicate_of")]
    pairs = set(map(frozenset, zip(*ids, strict=True)))
    found = sum(frozenset((int(a), int(b))) in pairs for a, b in zip(copies, sources, strict=True))
    facts = ref.facts["semantic"]
    print(f"semantic: 200,000 x 384 in {facts['cells']} cells, the largest {facts['largest_cell']:,} rows")
    print(f"  {seconds:.1f} s on 2 cores ({cpu:.1f} CPU-s)")
    print(f"  planted copies found {found / 20_000:.4f}, other rows dropped {len(pairs) - found:,}")


def bench_planted(folder: Path) -> None:
    """Known duplicates among real texts of at least 40 words: how many are found, by kind and settings."""
    rng = np.random.default_rng(0)
    texts = list(dict.fromkeys(text for text in _real_texts() if len(text.split()) >= 40))
    chosen = rng.choice(len(texts), 3000, replace=False)
    vocabulary = np.array(sorted({word for text in texts[:2000] for word in text.split()}))

    def changed(text: str) -> str:
        words = text.split()
        for place in rng.choice(len(words), round(0.1 * len(words)), replace=False):
            words[place] = str(rng.choice(vocabulary))
        return " ".join(words)

    kinds = {
        "verbatim": [texts[i] for i in chosen[:1000]],
        "case and space": [texts[i].upper().replace(" ", "  ") for i in chosen[1000:2000]],
        "10 % of words": [changed(texts[i]) for i in chosen[2000:]],
    }
    planted = [text for copies in kinds.values() for text in copies]
    everything = texts + planted
    run, inputs = _pool(folder, {"text": everything, **_points(len(everything))}, threads=2)
    row_ids = Pool.open(inputs["ingest"]).row_ids().tolist()
    print(f"planted: 3 x 1,000 copies among {len(texts):,} real texts")
    for settings in ({}, {"threshold": 0.5}, {"threshold": 0.4, "recall": 0.99}, {"threshold": 0.7, "shingle": 1}):
        near = NearConfig(**settings)
        dropped = Duplicates.open(DEDUP(DedupConfig(near=near), DedupInputs.of(inputs), run)).dropped()
        group = dict(zip(dropped["row_id"].to_pylist(), dropped["duplicate_of"].to_pylist(), strict=True))
        root = [group.get(row, row) for row in row_ids]
        found = np.array([root[len(texts) + i] == root[chosen[i]] for i in range(3000)])
        gone = np.array([row in group for row in row_ids])
        either = np.array([gone[len(texts) + i] or gone[chosen[i]] for i in range(3000)])
        print(f"  threshold {near.threshold}, {near.shingle}-word shingles; {int(gone.sum()):,} rows dropped in all")
        for i, name in enumerate(kinds):
            part = slice(1000 * i, 1000 * i + 1000)
            print(f"    {name:16} one of the two dropped {either[part].mean():.3f}, one group {found[part].mean():.3f}")
    words = np.array([f"w{i}" for i in range(2000)])
    apart = [" ".join(row) for row in words[rng.integers(0, len(words), (20_000, 40))]]
    run, inputs = _pool(folder / "apart", {"text": apart, **_points(len(apart))}, threads=2)
    print(
        f"  20,000 texts without duplicates: {DEDUP(DedupConfig(), DedupInputs.of(inputs), run).counts['near']} dropped"
    )


def _pool(
    folder: Path, columns: dict[str, Any] | None, threads: int, uri: str | None = None
) -> tuple[Run, dict[str, StepRef]]:
    """Ingest a table (or the file `uri`) and return a run in this process with the inputs of dedup."""
    folder.mkdir(exist_ok=True)
    if columns is not None:
        uri = str(folder / "pool.parquet")
        pq.write_table(pa.table(columns), uri)
    run = Run(str(folder / "workspace"), "bench", folder / "scratch", Compute(threads=threads))
    source = SourceConfig(uri=str(uri), max_quarantined=1)
    ingested = INGEST(ingest_request(source), NoInputs(), run)
    return run, {"ingest": ingested, "embed": EMBED(ColumnEmbedding(), EmbedInputs(ingest=ingested), run)}


def _points(rows: int) -> dict[str, pa.Array]:
    """Return a column of one-dimensional vectors, so that nothing has to be embedded."""
    return {"v": pa.FixedSizeListArray.from_arrays(np.ones(rows, np.float32), 1)}


def _alternating(peers: dict[str, Callable[[], Any]], items: int) -> dict[str, float]:
    """Return the median rate of each peer in items per CPU second over rounds in which all take their turn."""
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(ROUNDS):
        for name, peer in peers.items():
            started = time.process_time()
            peer()
            seconds[name].append(time.process_time() - started)
    return {name: items / statistics.median(times) for name, times in seconds.items()}


def _datatrove(texts: list[str], folder: Path) -> list[np.ndarray]:
    """Return the rows datatrove removes and the row its cluster keeps for each."""
    os.environ.setdefault("LOGURU_LEVEL", "ERROR")
    import datatrove.pipeline.dedup.minhash as module
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.text import TextNormConfig
    from datatrove.utils.word_tokenizers import WordTokenizer

    class BySpace(WordTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    shutil.rmtree(folder, ignore_errors=True)
    config = MinhashConfig(
        n_grams=SHINGLE,
        num_buckets=BANDS,
        hashes_per_bucket=ROWS,
        norm_config=TextNormConfig(norm_numbers=False, norm_unicode_diacritics=False),  # words as we and the truth read
        hash_config=HashConfig(precision=64),
    )
    module.load_word_tokenizer = lambda _: BySpace()
    module.create_hash_func = lambda _: lambda text: xxhash.xxh64_intdigest(text.encode())  # for xxhash 4
    documents = (Document(text=text, id=str(i)) for i, text in enumerate(texts))
    MinhashDedupSignature(str(folder / "signatures"), config).run(documents, 0, 1)
    for bucket in range(BANDS):
        MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config).run(None, bucket, BANDS)
    MinhashDedupCluster(str(folder / "buckets"), str(folder / "removed"), config=config, save_cluster_id=True).run(
        None, 0, 1
    )
    removed = np.fromfile(folder / "removed" / "000000.remove", "<u4").astype(int)
    clusters = np.fromfile(folder / "removed" / "000000.clusters", "<u4").reshape(-1, 2).astype(int)
    gone = set(removed.tolist())
    members, cluster = clusters[:, 0], clusters[:, 1]
    stays = {int(c): int(m) for m, c in zip(members, cluster, strict=True) if int(m) not in gone}
    of = {int(m): stays[int(c)] for m, c in zip(members, cluster, strict=True)}
    return [removed, np.array([of[int(row)] for row in removed])]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).lower())


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = _words(text)
    return {tuple(words[i : i + SHINGLE]) for i in range(max(len(words) - SHINGLE, 0) + 1)} if words else set()


def _true_pairs(texts: list[str], threshold: float) -> np.ndarray:
    """Return all pairs of texts at least this similar, (pairs, 2), by counting every intersection."""
    from scipy import sparse

    number: dict[tuple[str, ...], int] = {}
    rows, columns, sizes = [], [], np.zeros(len(texts))
    for row, text in enumerate(texts):
        shingles = _shingles(text)
        sizes[row] = len(shingles)
        rows += [row] * len(shingles)
        columns += [number.setdefault(shingle, len(number)) for shingle in shingles]
    held = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(texts), len(number)))
    found = []
    for start in range(0, len(texts), 2000):
        both = (held[start : start + 2000] @ held.T).tocoo()
        left = both.row + start
        alike = both.data / (sizes[left] + sizes[both.col] - both.data)
        keep = (alike >= threshold - 1e-6) & (left < both.col)
        found.append(np.stack([left[keep], both.col[keep]], axis=1))
    return np.concatenate(found)


def _real_texts() -> list[str]:
    if folder := os.environ.get("EVENKEEL_BENCH_DATA"):
        texts: list[str] = pq.read_table(Path(folder) / "debian.parquet", columns=["text"])["text"].to_pylist()
        return texts
    return list(_docstrings())


def _docstrings() -> Iterator[str]:
    import ast
    import sysconfig

    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        try:
            tree = ast.parse(path.read_text())
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and (text := ast.get_docstring(node)):
                yield text


if __name__ == "__main__":
    main(sys.argv[1:])
