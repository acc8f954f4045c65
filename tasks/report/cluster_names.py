"""Names for the clusters of every level, from words that tell each from its siblings; a version publishes them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from evenkeel.expectations.concerns.privacy import mask
from evenkeel.infra import storage
from evenkeel.infra.tables import read_table
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.ingest.columns import NO_GROUP
from evenkeel.tasks.ingest.pool import Block, Pool
from evenkeel.tasks.report.words import distinctive, words_of
from evenkeel.tasks.validate.examples import rows_of_leaves, shorten
from evenkeel.tasks.validate.locate import locate

NAMES = "names"  # the fact of the last version's profile that says where its names are
ROWS, MOST_ROWS = 6, 12_000  # rows looked at, of a leaf and in all
WORDS, IN_NAME, REPRESENTATIVES = 8, 2, 3
TEXT, VALUE = 2_000, 32
Named = dict[tuple[int, int], tuple[str, list[str]]]
"""Name and words by level and cluster."""
SCHEMA = pa.schema(
    [
        ("level", pa.int32()),
        ("id", pa.int32()),
        ("parent", pa.int32()),
        ("name", pa.string()),
        ("words", pa.list_(pa.string())),
        ("pool", pa.int64()),
        ("kept", pa.int64()),
        ("representatives", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class LookedAt:
    """A kept row that names its cluster: its id, its distance to the leaf's centroid, and its words."""

    id: str
    distance: float
    words: frozenset[str]


def name_clusters(
    hierarchy: Hierarchy, clusters: pd.DataFrame, rows: Mapping[int, Sequence[LookedAt]], last: Named
) -> pa.Table:
    """Return one row per level and cluster: parent, name, words, rows of the pool and kept, and representatives.

    clusters: the profile's table. rows: a few kept rows by leaf. last: the names of the last version where it has the
    same clusters; they stay. A name is the two words that best tell the cluster from its siblings
    (class-based tf-idf), with a third word or the number where a larger sibling has them already; a cluster without
    words is called by its number. Words of the parent's name come last.
    """
    parts: list[pa.Table] = []
    above: dict[int, list[str]] = {}
    for level in range(len(hierarchy.levels), 0, -1):
        table = clusters[clusters["level"] == level].sort_values("cluster")
        looked = _by_cluster(rows, hierarchy, level)
        named: dict[int, tuple[str, list[str]]] = {}
        for parent, siblings in _siblings(table):
            named |= {one: last[level, one] for one in siblings if (level, one) in last}
            taken = {named[one][0] for one in siblings if one in named}
            found = distinctive({one: [row.words for row in looked.get(one, ())] for one in siblings}, WORDS)
            of_parent = above.get(parent, [])
            for one in siblings:
                if one not in named:
                    words = sorted(_different(found[one]), key=of_parent.__contains__)
                    named[one] = _name(words, one, taken), words
                    taken.add(named[one][0])
        above = {one: words[:IN_NAME] for one, (_, words) in named.items()}
        parts.insert(0, _table(level, table, named, looked))
    return pa.concat_tables([SCHEMA.empty_table(), *parts])


def _siblings(table: pd.DataFrame) -> Iterator[tuple[int, list[int]]]:
    """Yield every parent with its clusters, the largest first."""
    ordered = table.sort_values(["parent", "before", "cluster"], ascending=[True, False, True])
    parents, numbers = ordered["parent"].to_numpy(), ordered["cluster"].to_numpy()
    for part in np.split(np.arange(len(parents)), np.flatnonzero(np.diff(parents)) + 1):
        if len(part):
            yield int(parents[part[0]]), numbers[part].tolist()


def _table(
    level: int,
    table: pd.DataFrame,
    named: Mapping[int, tuple[str, list[str]]],
    looked: Mapping[int, Sequence[LookedAt]],
) -> pa.Table:
    numbers = table["cluster"].tolist()
    nearest = [sorted(looked.get(one, ()), key=lambda row: row.distance)[:REPRESENTATIVES] for one in numbers]
    columns = {
        "level": [level] * len(numbers),
        "id": numbers,
        "parent": table["parent"].tolist(),
        "name": [named[one][0] for one in numbers],
        "words": [named[one][1] for one in numbers],
        "pool": table["before"].tolist(),
        "kept": table["after"].tolist(),
        "representatives": [[row.id for row in rows] for rows in nearest],
    }
    return pa.table(columns, schema=SCHEMA)


def look_at_rows(sample: StepRef, pool: Pool, hierarchy: Hierarchy) -> dict[int, list[LookedAt]]:
    """Return up to six kept rows of every leaf, of the largest leaves where there are more than 2,000.

    Their words are those of the text, personal data masked, or the values of the group columns where there is no text.
    """
    wanted = max(1, min(ROWS, MOST_ROWS // max(1, hierarchy.leaves)))
    labels = np.arange(hierarchy.leaves, dtype=np.int32)
    if hierarchy.leaves > MOST_ROWS:
        labels[np.argsort(-hierarchy.levels[0].counts, kind="stable")[MOST_ROWS:]] = -1
    leaf_of = {row: leaf for leaf, rows in rows_of_leaves(sample, labels, wanted).items() for row in rows}
    found: dict[int, list[LookedAt]] = {}
    for block, row_ids, places in locate(pool, np.array(sorted(leaf_of), np.uint64)):
        words = _words(pool, block, places)
        ids = pool.table(block, ["id"])["id"].take(pa.array(places)).to_pylist()
        distances = _distances(hierarchy, block, row_ids)
        for row_id, name, distance, mine in zip(row_ids.tolist(), ids, distances, words, strict=True):
            found.setdefault(leaf_of[row_id], []).append(LookedAt(name, distance, mine))
    return found


def last_names(previous: StepRef | None, centroid_hash: str) -> Named:
    """Return the names of the last version that are made of words; none where it has other clusters or no names."""
    if previous is None or previous.facts.get("centroid_hash") != centroid_hash:
        return {}
    uri = str(previous.facts.get(NAMES, ""))
    if not uri or not storage.exists(uri):
        return {}
    lines = read_table(uri, ["level", "id", "name", "words"]).to_pylist()
    return {(one["level"], one["id"]): (one["name"], one["words"]) for one in lines if one["words"]}


def _by_cluster(rows: Mapping[int, Sequence[LookedAt]], hierarchy: Hierarchy, level: int) -> dict[int, list[LookedAt]]:
    """Return the rows of the leaves below each cluster of a level."""
    ancestors = hierarchy.ancestors(level)
    found: dict[int, list[LookedAt]] = {}
    for leaf in sorted(rows):
        found.setdefault(int(ancestors[leaf]), []).extend(rows[leaf])
    return found


def _different(words: Sequence[str]) -> list[str]:
    """Return words without those that only end otherwise than an earlier one: parameters, parameter."""
    kept: list[str] = []
    for word in words:
        if not any(_alike(word, one) for one in kept):
            kept.append(word)
    return kept


def _alike(one: str, other: str) -> bool:
    shared = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return " " not in one + other and shared >= max(4, min(len(one), len(other)) - 3)


def _name(words: list[str], number: int, taken: set[str]) -> str:
    if not words:
        return f"cluster {number}"
    names = [", ".join(words[:many]) for many in range(min(IN_NAME, len(words)), min(IN_NAME + 1, len(words)) + 1)]
    return next((name for name in names if name not in taken), f"{names[0]} ({number})")


def _words(pool: Pool, block: Block, places: np.ndarray) -> list[frozenset[str]]:
    at = pa.array(places)
    if pool.info.text:
        texts = pool.payload(block, [pool.info.text])[pool.info.text].take(at).to_pylist()
        return [frozenset(words_of(mask(str(text or "")[:TEXT]))) for text in texts]
    if not pool.groups:
        return [frozenset()] * len(places)
    table = pool.table(block, [f"group.{name}" for name in pool.groups]).take(at)
    rows = zip(*(table[f"group.{name}"].to_pylist() for name in pool.groups), strict=True)
    return [
        frozenset(
            shorten(mask(f"{name} {value}"), VALUE)
            for name, value in zip(pool.groups, values, strict=True)
            if value is not None and value != NO_GROUP
        )
        for values in rows
    ]


def _distances(hierarchy: Hierarchy, block: Block, row_ids: np.ndarray) -> list[float]:
    """Return the distances of rows to their leaf's centroid; 0 where the clustering's rows are not there."""
    if block.name not in hierarchy.blocks:
        return [0.0] * len(row_ids)
    table = hierarchy.table(block.name, ["row_id", "distance"])
    distances: list[float] = table["distance"].to_numpy()[np.searchsorted(table["row_id"], row_ids)].tolist()
    return distances
