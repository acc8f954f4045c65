"""The map of clusters: where each lies, its size before and after, its words, and a few of its rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from evenkeel.tasks.cluster.hierarchy import Hierarchy
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.measure.profile import Profile
from evenkeel.tasks.report.facts import CardFacts
from evenkeel.tasks.report.inputs import ReportInputs
from evenkeel.tasks.report.projection import project, project_within
from evenkeel.tasks.report.words import distinctive_words
from evenkeel.tasks.validate.examples import Example, read_examples, read_thumbnails, rows_of_leaves

DOTS, DIRECT, ROWS, NAMED, SHOWN = 3500, 1200, 3, 9, 2
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClusterMap:
    """Clusters of one level on a flat map.

    level: which. clusters: (m,) int64, their numbers. places: (m, 2) float32 in [0, 1]. before, after: (m,) rows;
    share_before, share_after: (m,) of all rows. By place in these arrays: words: the distinctive words of each cluster,
    "" where there are none; labels: a word for the few that are named on the map. examples: (largest, smallest or
    newest, place, a few rows); the newest are clusters that the last version's pool had no rows of. partial: says how
    many clusters there are, where not all are shown.
    """

    level: int
    clusters: npt.NDArray[np.int64]
    places: npt.NDArray[np.float32]
    before: Shares
    after: Shares
    share_before: Shares
    share_after: Shares
    words: dict[int, str]
    labels: dict[int, str] = field(default_factory=dict)
    examples: list[tuple[str, int, list[Example]]] = field(default_factory=list)
    partial: str = ""

    def name(self, place: int) -> str:
        """Return what a cluster is called: its number, and its words where it has some."""
        number = int(self.clusters[place])
        return f"{number} ({self.words[place]})" if self.words.get(place) else f"{number}"


def map_clusters(facts: CardFacts, inputs: ReportInputs, pool: Pool) -> ClusterMap:
    """Return the map of the finest level that fits on it, or of its largest clusters where none does."""
    hierarchy = Hierarchy.open(inputs.cluster)
    number, limit = _fitting([level.clusters for level in hierarchy.levels])
    counts, clusters = facts.distributions[number], hierarchy.levels[number].clusters
    largest = np.argsort(-np.maximum(counts.share_before, counts.share_after), kind="stable")
    shown = np.sort(largest[:limit])
    rows = _rows_by_place(inputs, hierarchy, number + 1, shown, ROWS if limit > DIRECT else 2 * ROWS)
    known = read_examples(pool, [row for ids in rows.values() for row in ids])
    examples = {place: [known[row] for row in ids if row in known] for place, ids in rows.items()}
    texts = {place: [one.text for one in found] for place, found in examples.items()} if pool.has_text else {}
    places, parents = _places(hierarchy, number, shown)
    before, after = counts.share_before[shown], counts.share_after[shown]
    return ClusterMap(
        level=number + 1,
        clusters=shown.astype(np.int64),
        places=places,
        before=counts.before[shown],
        after=counts.after[shown],
        share_before=before,
        share_after=after,
        words=distinctive_words(texts),
        labels=_labels(places, before, after, parents, texts),
        examples=_examples(pool, before, examples, _newest(inputs, number + 1, shown, counts.before)),
        partial="" if len(shown) == clusters else f" of {clusters:,}, the largest",
    )


def _rows_by_place(
    inputs: ReportInputs, hierarchy: Hierarchy, level: int, shown: npt.NDArray[np.int64], wanted: int
) -> dict[int, list[int]]:
    """Return up to `wanted` row ids of the version for every cluster that is shown, by its place."""
    place_of = np.full(hierarchy.levels[level - 1].clusters, -1, np.int32)
    place_of[shown] = np.arange(len(shown), dtype=np.int32)
    return rows_of_leaves(inputs.sample, place_of[hierarchy.ancestors(level)], wanted)


def _places(
    hierarchy: Hierarchy, number: int, shown: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return where the clusters shown lie, (m, 2), and their parents, (m,); without a level above, each is its own."""
    level = hierarchy.levels[number]
    nested = number + 1 < len(hierarchy.levels)
    parents = level.parents[shown] if nested else np.arange(len(shown), dtype=np.int32)
    if len(shown) > DIRECT:
        return project_within(level.centroids[shown], hierarchy.levels[number + 1].centroids, parents), parents
    return project(level.centroids[shown]), parents


def _fitting(clusters: list[int]) -> tuple[int, int]:
    """Return which level (0 = finest) fits on the map, and how many of its clusters.

    A level fits where each of its clusters can be placed directly, or beside a parent that can.
    """
    for number, count in enumerate(clusters):
        if count <= DIRECT:
            return number, DIRECT
        if count <= DOTS and number + 1 < len(clusters) and clusters[number + 1] <= DIRECT:
            return number, DOTS
    return len(clusters) - 1, DIRECT


def _examples(
    pool: Pool, before: Shares, examples: Mapping[int, list[Example]], newest: list[int]
) -> list[tuple[str, int, list[Example]]]:
    """Return rows, with their pictures, of two each of the largest, the smallest and the newest clusters."""
    there = [int(place) for place in np.argsort(-before, kind="stable") if examples.get(int(place))]
    wanted = (("Largest", there), ("Smallest", there[::-1]), ("Newest", [one for one in newest if examples.get(one)]))
    chosen: dict[int, str] = {}
    for kind, places in wanted:
        for place in places[:SHOWN]:
            chosen.setdefault(place, kind)
    rows = {place: examples[place][:ROWS] for place in chosen}
    pictures = read_thumbnails(pool, [one.row_id for found in rows.values() for one in found])
    return [
        (kind, place, [replace(one, thumbnail=pictures.get(one.row_id, "")) for one in rows[place]])
        for place, kind in chosen.items()
    ]


def _newest(inputs: ReportInputs, level: int, shown: npt.NDArray[np.int64], before: Shares) -> list[int]:
    """Return the places of clusters that the last version's pool had no rows of, where both have the same centroids."""
    if inputs.previous is None:
        return []
    now, last = (ref.facts.get("centroid_hash") for ref in (inputs.cluster, inputs.previous))
    if now is None or now != last:
        return []
    clusters = Profile.open(inputs.previous).clusters
    was = clusters[clusters["level"] == level].set_index("cluster")["before"].reindex(shown).fillna(0).to_numpy()
    return [int(place) for place in np.flatnonzero((was == 0) & (before[shown] > 0))]


def _labels(
    places: npt.NDArray[np.float32],
    before: Shares,
    after: Shares,
    regions: npt.NDArray[np.int32],
    texts: Mapping[int, list[str]],
) -> dict[int, str]:
    """Return a word for some regions (clusters of the level above) by their middle cluster, the largest regions first.

    The larger share counts, before or after, and the middle is that of the clusters on both maps, where there are any:
    a word stands on both. A region is named only where its word lies clear of the others, and each word is used once.
    """
    of_region: dict[int, list[str]] = {}
    for place, found in texts.items():
        of_region.setdefault(int(regions[place]), []).extend(found)
    words = distinctive_words(of_region, 1)
    share = np.maximum(np.bincount(regions, weights=before), np.bincount(regions, weights=after))
    chosen: dict[int, str] = {}
    for region in np.argsort(-share, kind="stable"):
        members = np.flatnonzero(regions == region)
        members = kept if len(kept := members[after[members] > 0]) else members
        word = words.get(int(region), "")
        if not len(members) or not word or any(word[:5] == other[:5] for other in chosen.values()):
            continue
        middle = np.median(places[members], axis=0)
        place = int(members[np.abs(places[members] - middle).sum(axis=1).argmin()])
        if all(
            abs(places[place, 0] - places[o, 0]) > 0.24 or abs(places[place, 1] - places[o, 1]) > 0.08 for o in chosen
        ):
            chosen[place] = word
        if len(chosen) == NAMED:
            break
    return chosen
