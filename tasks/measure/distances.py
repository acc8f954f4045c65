"""How far a version and its pool are from the target set, from each other and from the last version.

Means of features, covariances and histograms of clusters are compared (`tasks/distance`): one pass over a sample of at
most some ten thousand rows, whatever the pool. Beside each distance of the version stands what random rows come to.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from evenkeel.infra import storage
from evenkeel.infra.dtypes import Int64Array, UInt64Array
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.distance.elsewhere import sum_parts
from evenkeel.tasks.distance.halves import HALVES, frechet_of_halves
from evenkeel.tasks.distance.measures import BY, discrepancy, discrepancy_by_noise, frechet_distances
from evenkeel.tasks.distance.record import SCHEMA as RECORD
from evenkeel.tasks.distance.record import Record
from evenkeel.tasks.distance.rows import sum_rows
from evenkeel.tasks.distance.space import Space
from evenkeel.tasks.distance.sums import SetSummary, SetSums
from evenkeel.tasks.embed.step import can_embed_texts, map_fingerprint
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.measure.churn import in_both
from evenkeel.tasks.measure.config import MeasureConfig
from evenkeel.tasks.measure.histograms import LAST, POOL, TARGET, Histograms, Line, of_draws, of_noise
from evenkeel.tasks.measure.inputs import MeasureInputs
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.measure.version_sets import DRAWS, FIRST_DRAW, FIRST_HALF, SETS, VersionSets
from evenkeel.tasks.measure.version_sets import POOL as OF_POOL
from evenkeel.tasks.measure.version_sets import VERSION as OF_VERSION
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.step import Run

NUMBERS = ("pool", "random", "after", "bound")
SCHEMA = pa.schema([("to", pa.string()), ("by", pa.string()), *((name, pa.float64()) for name in NUMBERS)])
INF = float("inf")
OF_DRAWS, OF_HALVES = range(FIRST_DRAW, FIRST_DRAW + DRAWS), range(FIRST_HALF, FIRST_HALF + HALVES)


def measure_distances(
    config: MeasureConfig, inputs: MeasureInputs, hashes: UInt64Array, folder: str, run: Run
) -> tuple[pa.Table, pa.Table]:
    """Return the profile's tables `distances` (to, by, pool, random, after, bound) and `sums`, of the version's rows.

    pool, after: distances of the pool and of the version. random: the mean of what random rows come to. bound: where
    these end: none of eight random draws came nearer to the target; sampling noise hardly brings a draw further from
    the pool or from the last version. hashes: the sketch of the version. folder: for what workers read, removed after.
    To a target of texts nothing is measured where the vectors of the pool came with its source.
    """
    hierarchy, vectors = Hierarchy.open(inputs.cluster), Vectors.open(inputs.embed, run.scratch)
    if not hierarchy.leaves:
        return SCHEMA.empty_table(), RECORD.empty_table()
    made_by = map_fingerprint(vectors, run)
    last = None if inputs.previous is None else Record.of(Profile.open(inputs.previous).sums)
    last = last if last is not None and last.space.map == made_by else None
    space = Space.of(hierarchy, made_by) if last is None else last.space
    kept = Selection.open(inputs.sample).table()
    version = np.bincount(kept["leaf"], kept["copies"], hierarchy.leaves).astype(np.int64)
    pool = hierarchy.levels[0].counts
    rows = CandidateRows.open(inputs.ingest, inputs.embed, inputs.cluster, str(run.scratch), inputs.signals)
    sets = VersionSets.between(inputs.sample.uri, int(pool.sum()), kept.num_rows)
    found = sum_rows(rows, vectors, sets, SETS, space, storage.join(folder, "space"), run, signed=2)
    histograms = Histograms(hierarchy, pool, version, frozenset(config.distances))
    lines: list[Line] = []
    if config.target is not None and (config.target.vector or can_embed_texts(vectors, run)):
        parts = config.target.vectors(vectors, run)
        aim, wanted = sum_parts(parts, space, hierarchy, storage.join(folder, "index"), run)
        lines += _to_target(found, aim.summary(0))
        lines += [histograms.line(TARGET, "transport", wanted), histograms.line(TARGET, "kl", wanted)]
    lines += _to_pool(found)
    lines += [histograms.line(POOL, "transport", pool), histograms.line(POOL, "kl", pool)]
    if last is not None and inputs.previous is not None:
        previous = Profile.open(inputs.previous)
        lines += _to_last(found, last.version, in_both(previous.sketch(), hashes, min(last.share, sets.of_version)))
        if inputs.previous.facts.get("centroid_hash") == hierarchy.centroid_hash:
            before = _leaves_of(previous.clusters, hierarchy.leaves)
            lines += [histograms.line(LAST, "transport", before), histograms.line(LAST, "kl", before)]
    storage.remove(folder)
    lines.sort(key=lambda line: ((TARGET, POOL, LAST).index(str(line["to"])), BY.index(line["by"])))
    record = Record(space, found.summary(OF_VERSION), sets.of_version)
    finite = [
        {name: one if one == one and one not in (INF, -INF) else None for name, one in line.items()} for line in lines
    ]
    return pa.Table.from_pylist(finite, schema=SCHEMA), record.table()


def _to_target(found: SetSums, aim: SetSummary) -> list[Line]:
    pool, version, *draws = (found.summary(one) for one in (OF_POOL, OF_VERSION, *_drawn(found)))
    squares = [discrepancy(one, aim) for one in (pool, version, *draws)]
    frechet = frechet_distances([pool, version, *draws], aim).tolist()
    return [
        {"to": TARGET, "by": by, "pool": one[0], "after": one[1], **of_draws(np.array(one[2:]))}
        for by, one in (("mmd", squares), ("frechet", frechet))
    ]


def _to_pool(found: SetSums) -> list[Line]:
    pool, version, *draws = (found.summary(one) for one in (OF_POOL, OF_VERSION, *_drawn(found)))
    shared = found.pairs[OF_POOL]
    random = [discrepancy(pool, one, shared[place]) for place, one in zip(_drawn(found), draws, strict=True)]
    after, *frechet = frechet_distances([version, *draws], pool).tolist()
    bound = discrepancy_by_noise(pool, version, shared[OF_VERSION])
    by_mmd: Line = {"after": discrepancy(pool, version, shared[OF_VERSION]), "bound": bound}
    return [
        {"to": POOL, "by": "mmd", "pool": None, **of_noise(np.array(random)), **by_mmd},
        {"to": POOL, "by": "frechet", "pool": None, "after": after, **of_noise(np.array(frechet))},
    ]


def _to_last(found: SetSums, last: SetSummary, shared: float) -> list[Line]:
    """Return the distances to the last version; noise is how far random halves of the version are apart."""
    pool, version = found.summary(OF_POOL), found.summary(OF_VERSION)
    by_mmd: Line = {"pool": discrepancy(pool, last), "after": discrepancy(version, last, shared)}
    of_pool, after = frechet_distances([pool, version], last).tolist()
    apart = frechet_of_halves(found, OF_VERSION, OF_HALVES, last.rows)
    return [
        {"to": LAST, "by": "mmd", **by_mmd, "random": 0.0, "bound": discrepancy_by_noise(version, last)},
        {"to": LAST, "by": "frechet", "pool": of_pool, "after": after, **of_noise(apart)},
    ]


def _drawn(found: SetSums) -> list[int]:
    """Return the numbers of the random draws that have rows."""
    return [one for one in OF_DRAWS if found.rows[one]]


def _leaves_of(clusters: pd.DataFrame, leaves: int) -> Int64Array:
    """Return the rows of the last version in every leaf, (leaves,) int64."""
    finest = clusters[clusters["level"] == 1]
    found = np.zeros(leaves, np.int64)
    found[finest["cluster"].to_numpy()] = finest["after"].to_numpy()
    return found
