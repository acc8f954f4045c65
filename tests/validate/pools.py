"""A small real pool taken through the real steps: a long tail of clusters and groups, hostile text, a few pictures."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.inputs import ClusterInputs
from evenkeel.tasks.cluster.step import CLUSTER
from evenkeel.tasks.dedup.config import DedupConfig
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.column import ColumnEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.ingest.config import SourceConfig
from evenkeel.tasks.ingest.source import ingest_request
from evenkeel.tasks.ingest.step import INGEST
from evenkeel.tasks.inputs import NoInputs
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.step import MEASURE
from evenkeel.tasks.sample.config import SamplingConfig
from evenkeel.tasks.sample.step import SAMPLE
from evenkeel.tasks.step import Run
from tests.sample.pools import inputs_of

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\x1b[31mred\x1b[0m `|*_[](javascript:1)"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8ffff3f0005fe02fea135815e"
    "0000000049454e44ae426082"
)
NOUNS = "river stone cloud forest engine letter window garden mirror planet copper velvet harbour signal"
WORDS = NOUNS.split()
MAIL, KEY = "write to jane.doe@example.org", "key AKIAABCDEFGHIJKLMNOP here"


@dataclass
class Curated:
    """The finished steps of a run, by name, and the run itself."""

    run: Run
    done: dict[str, StepRef] = field(default_factory=dict)


def write_shards(folder: Path, rows: int = 1500, seed: int = 0, hostile: bool = True) -> Path:
    """Write two Parquet shards: 40 topics with Zipf masses as vectors, texts that use the topic's words, two groups."""
    rng = np.random.default_rng(seed)
    masses = 1 / np.arange(1, 41)
    topic = rng.choice(40, rows, p=masses / masses.sum())
    vectors = rng.normal(0, 3, (40, 12))[topic] + rng.normal(0, 0.5, (rows, 12))
    texts = [f"{WORDS[t % 14]} {WORDS[t // 3]} number {i} of topic {t}" for i, t in enumerate(topic)]
    language = np.array([f"lang-{t % 9}" for t in topic], dtype=object)
    if hostile:
        for place in range(0, rows, 40):
            texts[place] = f"{HOSTILE} {place}"
        language[topic == 7] = HOSTILE
        texts = [
            f"{MAIL} {text}" if t == 38 else f"{KEY} {text}" if t == 39 else text
            for t, text in zip(topic, texts, strict=True)
        ]
    table = pa.table(
        {
            "id": [f"row-{seed}-{i}" if i % 50 else f"<b>{i}</b>" for i in range(rows)],
            "text": texts,
            "language": language.tolist(),
            "licence": np.where(topic % 5 == 0, "CC-BY-4.0", "CC0-1.0").tolist(),
            "picture": pa.array([PIXEL if i % 3 == 0 else None for i in range(rows)], pa.binary()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), 12),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    half = rows // 2
    pq.write_table(table.slice(0, half), folder / "a.parquet")
    pq.write_table(table.slice(half), folder / "b.parquet")
    return folder


def curate(
    folder: Path,
    shards: Path,
    *,
    target: int = 300,
    seed: int = 0,
    levels: tuple[int, ...] = (60, 8),
    **groups: list[str],
) -> Curated:
    """Run ingest to measure on `shards` with outputs under `folder`."""
    found = Curated(Run(str(folder / "workspace"), "topics", folder / "scratch"))
    run, done = found.run, found.done
    source = SourceConfig(uri=f"{shards}/*.parquet", groups=groups.get("groups", ["language", "licence"]))
    clustering = ClusteringConfig(levels=list(levels), iterations=6, resampling=1)
    done["ingest"] = INGEST(ingest_request(source), NoInputs(), run)
    done["embed"] = EMBED(ColumnEmbedding(), EmbedInputs.of(done), run)
    done["dedup"] = DEDUP(DedupConfig(near=None), DedupInputs.of(done), run)
    done["cluster"] = CLUSTER(clustering, ClusterInputs.of(done), run)
    sampling = SamplingConfig(target=target, seed=seed)
    inputs = inputs_of(sampling, done, run)
    done |= {} if inputs.partition is None else {"partition": inputs.partition}
    done["sample"] = SAMPLE(sampling, inputs, run)
    done["measure"] = MEASURE(MeasureConfig(), MeasureInputs.of(done), run)
    return found


def as_previous(curated: Curated) -> StepRef:
    """Return the profile of a run as the last version's, as the flow hands it on."""
    facts = {"centroid_hash": curated.done["cluster"].facts["centroid_hash"]}
    return StepRef(step="previous", key="previous", uri=curated.done["measure"].uri, facts=facts)
