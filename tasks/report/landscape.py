"""The map of clusters: where each lies, how large it was and is, what it is about, and a few of its rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from infra.workspace import StepRef
from tasks.cluster.hierarchy import Hierarchy
from tasks.ingest.pool import Pool
from tasks.report.facts import CardFacts
from tasks.report.projection import project
from tasks.report.words import distinctive_words
from tasks.validate.examples import Example, read_examples, rows_of_leaves

DOTS, ROWS, NAMED = 1200, 6, 7
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Landscape:
    """Clusters of one level on a flat map.

    level: which. clusters: (m,) int64, their numbers. places: (m, 2) float32 in [0, 1]. share_before, share_after: (m,) of
    all rows. words: what each is about, "" where nobody knows. examples: a few rows of each. labels: words of the few to
    name on the map, by place in the arrays. newest: places of clusters that had no rows in the last version's pool. partial: words that say so where not all clusters are shown.
    """

    level: int
    clusters: npt.NDArray[np.int64]
    places: npt.NDArray[np.float32]
    before: Floats
    after: Floats
    share_before: Floats
    share_after: Floats
    words: dict[int, str]
    examples: dict[int, list[Example]]
    labels: dict[int, str] = field(default_factory=dict)
    newest: list[int] = field(default_factory=list)
    partial: str = ""

    def name(self, place: int) -> str:
        """Return what a cluster is called: its number, and its words where they are known."""
        number = int(self.clusters[place])
        return f"{number} ({self.words[place]})" if self.words.get(place) else f"{number}"


def survey(facts: CardFacts, inputs: Mapping[str, StepRef], pool: Pool) -> Landscape:
    """Return the map of the finest level that fits on it, or of its largest clusters where none does."""
    hierarchy = Hierarchy.open(inputs["cluster"])
    levels = [spread for spread in facts.spreads if spread.scope.startswith("level-")]
    fitting = [number for number, spread in enumerate(levels) if len(spread.before) <= DOTS]
    number = fitting[0] if fitting else len(levels) - 1
    spread, level = levels[number], hierarchy.levels[number]
    shown = np.sort(np.argsort(-np.maximum(spread.share_before, spread.share_after), kind="stable")[:DOTS])
    ancestors = hierarchy.ancestors(number + 1)
    place_of = np.full(level.clusters, -1, np.int32)
    place_of[shown] = np.arange(len(shown), dtype=np.int32)
    rows = rows_of_leaves(inputs["sample"], place_of[ancestors], ROWS)
    texts = read_examples(pool, [row for ids in rows.values() for row in ids])
    examples = {place: [texts[row] for row in ids if row in texts] for place, ids in rows.items()}
    words = (
        distinctive_words({place: [one.text for one in found] for place, found in examples.items()}) if pool.has_text else {}
    )
    places = project(level.centroids[shown])
    before, after = spread.share_before[shown], spread.share_after[shown]
    return Landscape(
        level=number + 1,
        clusters=shown.astype(np.int64),
        places=places,
        before=spread.before[shown],
        after=spread.after[shown],
        share_before=before,
        share_after=after,
        words=words,
        examples=examples,
        labels=_labels(places, before, words),
        partial="" if len(shown) == level.clusters else f" of {level.clusters:,}, the largest",
    )


def _labels(places: npt.NDArray[np.float32], shares: Floats, words: Mapping[int, str]) -> dict[int, str]:
    """Return the first word of the largest clusters that lie far enough from one another to be named."""
    chosen: dict[int, str] = {}
    for place in np.argsort(-shares, kind="stable"):
        word = words.get(int(place), "").split(",")[0]
        apart = all(
            abs(places[place, 0] - places[other, 0]) > 0.22 or abs(places[place, 1] - places[other, 1]) > 0.07
            for other in chosen
        )
        if word and apart and word not in chosen.values():
            chosen[int(place)] = word
        if len(chosen) == NAMED:
            break
    return chosen
