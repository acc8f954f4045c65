"""What every step puts out for one small pool, as a digest: `python -m tests.golden` writes golden.json.

The digest is of what is exact everywhere: integers, ids, texts, shapes. Floating-point numbers differ in their last
digits between machines: they go into one weighted sum, compared with a tolerance.
"""

import hashlib
import json
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evenkeel.flows.pipeline import ClusteredPool, sample_inputs
from evenkeel.infra import storage
from evenkeel.infra.arrays import read_array
from evenkeel.infra.compute import Compute
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import DONE, USED, StepRef
from evenkeel.tasks.annotate.annotation import Annotation
from evenkeel.tasks.annotate.config import AnnotationRequest
from evenkeel.tasks.annotate.inputs import AnnotateInputs
from evenkeel.tasks.annotate.kinds.order import Order
from evenkeel.tasks.annotate.kinds.splits import Splits
from evenkeel.tasks.annotate.kinds.stages import Stages
from evenkeel.tasks.annotate.step import ANNOTATE
from evenkeel.tasks.cluster.assign import ASSIGN
from evenkeel.tasks.cluster.config import AssignConfig, ClusteringConfig
from evenkeel.tasks.cluster.inputs import AssignInputs, ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.cluster.thin import THIN, ThinConfig, ThinInputs
from evenkeel.tasks.dedup.config import DedupConfig, NearConfig, SemanticConfig
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.embedders.tfidf_svd import TfidfSvdEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.filter.config import FilterConfig, FilterRule
from evenkeel.tasks.filter.inputs import FilterInputs
from evenkeel.tasks.filter.step import FILTER
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.publish.config import StageConfig
from evenkeel.tasks.publish.staging.inputs import StageInputs
from evenkeel.tasks.publish.staging.step import STAGE
from evenkeel.tasks.report.config import ReportConfig
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.step import REPORT
from evenkeel.tasks.sample.balanced.config import PartitionConfig
from evenkeel.tasks.sample.balanced.steps import PARTITION
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.inputs import PartitionInputs, SampleInputs, TagCountsInputs
from evenkeel.tasks.sample.step import SAMPLE
from evenkeel.tasks.sample.strategies.balanced import Balanced
from evenkeel.tasks.sample.strategies.top_down import TopDown
from evenkeel.tasks.sample.tags.config import TagCountsConfig
from evenkeel.tasks.sample.tags.step import TAG_COUNTS
from evenkeel.tasks.signal.config import SignalRequest
from evenkeel.tasks.signal.inputs import SignalInputs
from evenkeel.tasks.signal.kinds.entries import EntriesSignal
from evenkeel.tasks.signal.kinds.expression import ExpressionSignal
from evenkeel.tasks.signal.kinds.isolation_forest import IsolationForest
from evenkeel.tasks.signal.kinds.leverage import Leverage
from evenkeel.tasks.signal.kinds.mixture import Mixture
from evenkeel.tasks.signal.kinds.neighbour_disagreement import NeighbourDisagreement
from evenkeel.tasks.signal.kinds.neighbour_distance import NeighbourDistance
from evenkeel.tasks.signal.kinds.rank import Rank
from evenkeel.tasks.signal.kinds.window import Window
from evenkeel.tasks.signal.signal import Signal
from evenkeel.tasks.signal.step import SIGNAL
from evenkeel.tasks.step import ConfigT, InputsT, Run, Step
from evenkeel.tasks.validate.config import GatesConfig
from evenkeel.tasks.validate.inputs import ValidateInputs
from evenkeel.tasks.validate.step import VALIDATE
from tests.sample.pools import write_pool

TABLE = Path(__file__).parent / "golden.json"
TOPICS, DIMENSION = 12, 8
WORDS = [
    "river",
    "stone",
    "cloud",
    "forest",
    "engine",
    "letter",
    "window",
    "garden",
    "mirror",
    "planet",
    "copper",
    "velvet",
]
# Places, clocks, and sums of bytes that depend on the release of a library.
VOLATILE = {
    "seconds",
    "uri",
    "folder",
    "location",
    "run",
    "sha256",
    "bytes",
    "content_key",
    "content",
    "modified",
    "version",
}


@dataclass(frozen=True)
class Golden:
    """What a step put out. version: of its code. floats: a weighted sum. upstream: the entries of its inputs."""

    version: int
    digest: str
    floats: float
    upstream: tuple[str, ...] = ()


def write_source(folder: Path, rows: int, shards: int) -> str:
    """Write a pool of topics with Zipf masses as JSON lines, some texts twice, and return its glob."""
    draw = random.Random(7)
    centres = [[draw.uniform(-9, 9) for _ in range(DIMENSION)] for _ in range(TOPICS)]
    topics = draw.choices(range(TOPICS), [1 / (1 + topic) for topic in range(TOPICS)], k=rows)
    lines: list[str] = []
    for row, topic in enumerate(topics):
        words = " ".join(draw.choice(WORDS) for _ in range(12))
        text = json.loads(lines[row - 3])["text"] if row % 25 == 10 else f"{WORDS[topic]} {words} {row}"
        vector = [centre + draw.gauss(0, 0.3) for centre in centres[topic]]
        language = f"lang-{topic % 3}"
        record = {"id": f"row-{row}", "text": text, "topic": f"t{topic}", "language": language, "vector": vector}
        lines.append(json.dumps(record))
    folder.mkdir(parents=True)
    for number in range(shards):
        part = lines[number * rows // shards : (number + 1) * rows // shards]
        (folder / f"{number}.jsonl").write_text("\n".join(part) + "\n")
    return f"{folder}/*.jsonl"


@dataclass
class Goldens:
    """Runs steps and keeps what each put out, by entry."""

    run: Run
    found: dict[str, Golden] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)

    def __call__(self, step: Step[ConfigT, InputsT], config: ConfigT, inputs: InputsT, variant: str = "") -> StepRef:
        """Return the reference to the step's output, its seconds and places put to what they are everywhere."""
        ref = step(config, inputs, self.run).model_copy(update={"seconds": 1.0})
        upstream = tuple(self.entries[one.uri] for one in inputs.present().values() if one.uri in self.entries)
        entry = f"{step.name} {variant}".strip()
        digest, floats = summarise(ref)
        version = config.version if isinstance(config, SignalRequest | AnnotationRequest) else step.version
        self.found[entry] = Golden(version, digest, floats, upstream)
        self.entries[ref.uri] = entry
        return ref


def run_all(folder: Path) -> dict[str, Golden]:
    """Run every step on the pool and return what each put out, upstream first."""
    run_step = Goldens(Run(str(folder / "workspace"), "golden", folder / "scratch", Compute(threads=1)))
    source = SourceConfig(uri=write_source(folder / "pool", 600, 2), groups=["topic", "language"], rows_per_block=128)
    ingest = run_step(INGEST, ingest_request(source), NoInputs())
    run_step(EMBED, TfidfSvdEmbedding(dimension=6, buckets=1 << 10), EmbedInputs(ingest), "tfidf-svd")
    run_step(EMBED, ColumnEmbedding(center=True, components=4, normalise=True), EmbedInputs(ingest), "components")
    embed = run_step(EMBED, ColumnEmbedding(), EmbedInputs(ingest))
    semantic = DedupConfig(near=NearConfig(threshold=0.6), semantic=SemanticConfig(epsilon=0.001, clusters=8))
    run_step(DEDUP, semantic, DedupInputs(ingest, embed), "semantic")
    dedup = run_step(DEDUP, DedupConfig(near=None), DedupInputs(ingest, embed))
    clustering = ClusteringConfig(levels=[24, 6], iterations=5, resampling=1)
    cluster = run_step(CLUSTER, clustering, ClusterInputs(ingest, embed, dedup))
    pool = ClusteredPool(ingest=ingest, embed=embed, dedup=dedup, cluster=cluster)
    assign_more(folder, run_step, pool, clustering)
    sampling = SamplingConfig(target=120, strategy=Balanced(rule="radius-2+sublinear-0.5"))
    measured = run_step(PARTITION, PartitionConfig(rows=512), PartitionInputs(ingest, embed, cluster))
    sample = run_step(SAMPLE, sampling, SampleInputs(ingest, embed, dedup, cluster, measured))
    annotate_rows(run_step, {**pool.steps(), "sample": sample})
    sample_lattice(folder, run_step)
    compute_signals(run_step, ingest, embed)
    rules = [FilterRule(drop="row below quantile 0.1", by="language"), FilterRule(drop="topic == 't3'")]
    removed = run_step(FILTER, FilterConfig(rules=rules), FilterInputs(ingest, dedup))
    run_step(THIN, ThinConfig(), ThinInputs(removed, cluster))
    stage = run_step(STAGE, StageConfig(uri=str(folder / "published")), StageInputs(ingest, dedup, cluster, sample))
    measure = run_step(MEASURE, MeasureConfig(), MeasureInputs(ingest, embed, dedup, cluster, sample))
    judged = ValidateInputs(ingest, embed, dedup, cluster, sample, measure)
    validate = run_step(VALIDATE, GatesConfig(), judged)
    everything = {**pool.steps(), "sample": sample, "stage": stage, "measure": measure, "validate": validate}
    report = ReportConfig(dataset="golden", version=1, created="2026-01-01", location="s3://there")
    run_step(REPORT, report, ReportInputs.of(everything))
    return run_step.found


def annotate_rows(run_step: Goldens, done: dict[str, StepRef]) -> None:
    """Annotate the sampled rows by each kind."""
    schedule = [{"name": "early", "share": 0.75}, {"name": "late", "share": 0.25, "raise": {"language": {"lang-2": 3}}}]
    annotations: list[Annotation] = [
        Splits(test=0.1, validation=0.05, even="topic", clients=3, over="group.language"),
        Order(by="tokens", pattern="batches", of="level-2", batch=4),
        Stages.model_validate({"stages": schedule}),
    ]
    for one in annotations:
        run_step(ANNOTATE, AnnotationRequest.of(one), AnnotateInputs.of(done), one.kind)


def compute_signals(run_step: Goldens, ingest: StepRef, embed: StepRef) -> None:
    """Compute a signal of each kind whose values follow from the rows alone."""
    run_step(SIGNAL, SignalRequest.of(ExpressionSignal(name="long", of="tokens ** 0.5")), SignalInputs(ingest))
    of_vectors: list[Signal] = [
        IsolationForest(name="outlier", trees=10, within="language", contamination=0.1),
        NeighbourDisagreement(name="boundary", group="topic", k=60),
        NeighbourDistance(name="far"),
        Leverage(name="leverage"),
    ]
    found = {
        one.name: run_step(SIGNAL, SignalRequest.of(one), SignalInputs(ingest, embed), one.kind) for one in of_vectors
    }
    of_numbers: list[Signal] = [
        Rank(name="place", of="far", by="language"),
        Window(name="step", of="far", bins=7),
        Mixture(name="quality", mix={"far": 1, "-boundary": 0.5}, by="language", normalise="zscore"),
    ]
    for one in of_numbers:
        inputs = SignalInputs(
            ingest, signals={name: found[name] for name in ("far", "boundary") if name in one.columns()}
        )
        run_step(SIGNAL, SignalRequest.of(one), inputs, one.kind)


def assign_more(folder: Path, run_step: Goldens, base: ClusteredPool, clustering: ClusteringConfig) -> None:
    """Assign a pool that has grown by a shard to the clusters of the first."""
    source = SourceConfig(uri=write_source(folder / "more", 900, 3), groups=["topic", "language"], rows_per_block=128)
    ingest = INGEST(ingest_request(source), NoInputs(), run_step.run)
    embed = EMBED(ColumnEmbedding(), EmbedInputs(ingest), run_step.run)
    dedup = DEDUP(DedupConfig(near=None), DedupInputs(ingest, embed), run_step.run)
    inputs = AssignInputs(ingest, embed, dedup, base.cluster, base.ingest)
    run_step(ASSIGN, AssignConfig(metric=clustering.metric), inputs)


def sample_lattice(folder: Path, run_step: Goldens) -> None:
    """Sample leaves that lie on a lattice, whose distances come out the same on every machine."""
    half = [(1 + x, y, x * y % 3) for x in range(5) for y in range(-3, 4)]
    places = np.array([*half, *[(-x, -y, -z) for x, y, z in half]])
    leaf = np.repeat(np.arange(len(places)), 1 + np.arange(len(places)) % 9)
    texts = [f"row {n} of t{n % 3} and u{n % 7}" for n in range(len(leaf))]
    done = write_pool(folder / "lattice", places[leaf], levels=[leaf], texts=texts)
    strategy = Balanced(rule="spread-0.05-1+spread-0.2-0")
    sampling = SamplingConfig(target=50, strategy=strategy)
    pool = ClusteredPool(ingest=done["ingest"], embed=done["embed"], dedup=done["dedup"], cluster=done["cluster"])
    run_step(SAMPLE, sampling, sample_inputs(sampling, pool, run_step), "spread")
    run_step(SAMPLE, SamplingConfig(target=90, strategy=TopDown()), SampleInputs.of(done), "top-down")
    words = EntriesSignal(name="words", values=["t0", "t1", "u3", "row", "none of them"])
    tags = SIGNAL(SignalRequest.of(words), SignalInputs(done["ingest"]), run_step.run)
    inputs = TagCountsInputs(done["ingest"], done["embed"], done["cluster"], {"words": tags})
    run_step(TAG_COUNTS, TagCountsConfig(over=["words"]), inputs)


def summarise(ref: StepRef) -> tuple[str, float]:
    """Return the digest of everything exact in an output, and the weighted sum of its floating-point numbers."""
    digest, floats = hashlib.sha256(), [0.0]

    def exact(value: object) -> None:
        digest.update(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())

    def array(values: np.ndarray) -> None:
        if values.dtype.names is not None:
            for name in values.dtype.names:
                array(values[name])
            return
        exact([list(values.shape), values.dtype.kind])
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            exact(int(finite.sum()))
            weights = 1 + np.arange(values.size).reshape(values.shape) % 7
            part = float((np.abs(values.astype(np.float64)) * weights)[finite].sum()) / max(1, values.size)
            floats.append(floats[-1] + part * (1 + len(floats) % 11))
        else:
            exact(values.tolist())

    exact(_plain(dict(ref.counts)))
    _json(dict(ref.facts), exact, array)
    for folder in [ref.uri, *([ref.facts["location"]] if ref.step == "stage" else [])]:
        for uri in sorted(storage.list_files(folder)):
            name = uri.removeprefix(folder).strip("/")
            if name in (DONE, USED) or name.startswith("attempts"):
                continue
            exact(re.sub(r"[0-9a-f]{12,}", "#", name))
            _file(uri, exact, array)
    return digest.hexdigest()[:20], float(f"{floats[-1]:.7g}")


Exact = Callable[[object], None]


def _file(uri: str, exact: Exact, array: Callable[[np.ndarray], None]) -> None:
    if uri.endswith(".npy"):
        array(np.asarray(read_array(uri)))
    elif uri.endswith(".parquet"):
        for name, column in zip((table := read_table(uri)).column_names, table.columns, strict=True):
            exact([name, str(column.type)])
            if pa.types.is_floating(column.type):
                array(column.to_numpy(zero_copy_only=False))
            elif pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
                exact(column.to_pylist())
            elif pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type):
                array(np.asarray(column.to_pylist()))
            else:
                exact([value.hex() if isinstance(value, bytes) else value for value in column.to_pylist()])
    elif uri.endswith(".json"):
        _json(storage.read_json(uri), exact, array)
    elif uri.endswith((".html", ".md")):
        exact(_words(storage.read_bytes(uri).decode()))


def _json(value: object, exact: Exact, array: Callable[[np.ndarray], None]) -> None:
    exact(_plain(value))
    array(np.array(list(_floats(value)), np.float64))


def _plain(value: object) -> object:
    """Return a JSON value without floating-point numbers, places and clocks."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in sorted(value.items()) if name not in VOLATILE}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, str):
        return _words(value)
    return "float" if isinstance(value, float) else value


def _floats(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        for _, one in sorted((name, one) for name, one in value.items() if name not in VOLATILE):
            yield from _floats(one)
    elif isinstance(value, list):
        for one in value:
            yield from _floats(one)
    elif isinstance(value, float):
        yield value


def _words(text: str) -> list[str]:
    """Return the words of a page or a sentence: no picture, no mark-up, no number."""
    for part in version("evenkeel").split("+"):
        text = text.replace(part, " ")
    text = re.sub(r"<svg.*?</svg>|<style.*?</style>", " ", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>|(?:\w+:/)?/\S+|[0-9a-f]{12,}", " ", text)
    return re.findall(r"[^\W\d_]+", text)


def read_recorded() -> dict[str, Golden]:
    """Return what golden.json says."""
    recorded: dict[str, dict[str, Any]] = json.loads(TABLE.read_text())
    return {entry: Golden(**{**about, "upstream": tuple(about["upstream"])}) for entry, about in recorded.items()}


def main() -> None:
    """Run every step and write golden.json."""
    with tempfile.TemporaryDirectory() as folder:
        found = run_all(Path(folder))
    TABLE.write_text(json.dumps({entry: vars(golden) for entry, golden in found.items()}, indent=2) + "\n")
    print(f"{len(found)} entries in {TABLE}")


if __name__ == "__main__":
    main()
