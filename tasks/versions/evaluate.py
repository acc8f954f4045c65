"""Compare what a version and random draws of its size teach a small model, class by class, on held-out rows.

Rows are held out by a hash of their identity, a fifth at a time: no model is tested on a row that it was trained on,
and every row of the pool, whether the version has it or not, is tested once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from evenkeel.infra.errors import InputError
from evenkeel.infra.hashing import uniform
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.feedback.score import Score
from evenkeel.tasks.sample.candidates import CandidateRows
from evenkeel.tasks.sample.selection import Selection
from evenkeel.tasks.versions.linear_probe import correct_by_fold

FOLDS, DRAWS = 5, 20
MOST_ROWS = 50_000
LEAST_OF_CLASS = 10
MOST_BANDS = 10
BALANCED = "balanced_accuracy"
PADDING, LABEL, CHARACTER = 12, 320, 6.5  # pixels: around the picture, of a label, of a character in a wide font
FOLD_SEED, THIN_SEED = 0x666F6C64, 0x7468696E


class Band(BaseModel):
    """Classes of similar frequency: one class each where there are few.

    classes: their names, the most frequent first. pool, version, random: rows of them in the pool, and in training on
    the version and on a random draw. recall_version, recall_random: mean recall over the classes, on held-out rows.
    """

    model_config = ConfigDict(frozen=True)

    classes: list[str]
    pool: int
    version: float
    random: float
    recall_version: float
    recall_random: float

    @property
    def name(self) -> str:
        """The class, or how many there are and the first of them."""
        return self.classes[0] if len(self.classes) == 1 else f"{len(self.classes)} classes: {self.classes[0]}, ..."


class Comparison(BaseModel):
    """Recall, averaged over classes, of models of the version and of random draws, on the same held-out rows.

    random, deviation: mean and standard deviation over `draws` draws. better: than how many of them the version is. A
    version that is no better than a random draw beats all of 20 with a chance of 1 in 21.
    """

    model_config = ConfigDict(frozen=True)

    classes: int
    random: float
    deviation: float
    version: float
    better: int
    draws: int

    @property
    def gain(self) -> float:
        """Version less random."""
        return self.version - self.random


class Evaluation(BaseModel):
    """What a version and random draws of its size teach about a label.

    rows: in training. every: over all classes; tail: over the rarer half of them. bands: the most frequent first.
    """

    model_config = ConfigDict(frozen=True)

    label: str
    rows: int
    every: Comparison
    tail: Comparison
    bands: list[Band]


class _Classes(NamedTuple):
    """names: of all values. labels: (n,) of the rows that are used. order: (k,) of the classes. pool: (k,) rows."""

    names: NDArray[np.str_]
    labels: NDArray[np.int64]
    order: NDArray[np.int64]
    used: NDArray[np.bool_]
    pool: NDArray[np.int64]


class _Rows(NamedTuple):
    vectors: NDArray[np.float32]
    labels: NDArray[np.object_]
    copies: NDArray[np.int64]
    folds: NDArray[np.int64]


def evaluate(steps: Mapping[str, StepRef], label: str, scratch: Path, seed: int = 0) -> Evaluation:
    """Return how well a ridge classifier, on the pool's vectors, tells the values of a group column.

    steps: ingest, embed, cluster, sample, and signals that the label may be. Pools above 50,000 rows are thinned by a
    hash, and the version with them. Classes of fewer than 10 rows are left out.
    Raises RecipeError where there is no such column, InputError where fewer than two classes are left.
    """
    rows = _read(steps, label, str(scratch))
    names, labels, order, used, pool = _classes(rows.labels, label)
    recall, trained = _recall(rows.vectors[used], labels, rows.copies[used], rows.folds[used], seed)
    random = recall[1:].mean(axis=0)
    every, tail = np.arange(len(order)), np.arange(len(order) // 2, len(order))
    bands = [
        Band(
            classes=[str(names[order[one]]) for one in part],
            pool=int(pool[part].sum()),
            version=float(trained[0, part].sum()),
            random=float(trained[1:, part].sum(axis=1).mean()),
            recall_version=float(recall[0, part].mean()),
            recall_random=float(random[part].mean()),
        )
        for part in np.array_split(every, min(MOST_BANDS, len(order)))
    ]
    return Evaluation(
        label=label,
        rows=round(float(trained[0].sum())),
        every=_comparison(recall[:, every]),
        tail=_comparison(recall[:, tail]),
        bands=bands,
    )


def probe_scores(steps: Mapping[str, StepRef], label: str, scratch: Path, *, by_domain: bool) -> list[Score]:
    """Return what a trainer of a ridge classifier reports of a version: its balanced accuracy, and perhaps by class.

    Balanced accuracy is the mean recall of the classes (Brodersen et al. 2010) on rows held out fold by fold; its error
    is the standard deviation over the folds by the root of their number. by_domain: also the recall of each class, as
    of the domain of its name, with its rows in training. Arguments and errors as of `evaluate`.
    """
    rows = _read(steps, label, str(scratch))
    names, labels, order, used, _ = _classes(rows.labels, label)
    vectors, folds = rows.vectors[used], rows.folds[used]
    right, trained = correct_by_fold(vectors / (vectors.std() or 1.0), labels, rows.copies[used], folds)
    recall = np.bincount(labels, right, len(order)) / np.bincount(labels, minlength=len(order))
    each = []
    for fold in np.unique(folds):
        there = np.bincount(labels[folds == fold], minlength=len(order))
        hits = np.bincount(labels[folds == fold], right[folds == fold], len(order))
        each.append(float((hits[there > 0] / there[there > 0]).mean()))
    error = float(np.std(each, ddof=1) / np.sqrt(len(each)))
    found = [Score(metric=BALANCED, value=float(recall.mean()), error=error, rows=round(float(trained.sum())))]
    if by_domain:
        found += [
            Score(
                metric=BALANCED, domain=str(names[one]), value=float(recall[place]), rows=round(float(trained[place]))
            )
            for place, one in enumerate(order)
        ]
    return found


def _recalled(name: str, recall: float, rows: float) -> Score:
    return Score(metric=BALANCED, domain=name, value=recall, rows=round(rows))


def _classes(values: NDArray[np.object_], label: str) -> _Classes:
    """Return the classes that are large enough, the most frequent first. Raises InputError for fewer than two."""
    names, labels, counts = np.unique(values.astype(str), return_inverse=True, return_counts=True)
    large = np.flatnonzero((counts >= LEAST_OF_CLASS) & (names != "(none)"))
    if len(large) < 2:
        raise InputError(
            f"{label!r} has fewer than two values to tell apart",
            expected=f"at least two values with {LEAST_OF_CLASS} rows or more",
            found=f"{len(large)} of {len(names)}",
            remedy="name another group column with --label",
        )
    order = large[np.argsort(-counts[large], kind="stable")]
    place = np.full(len(names), -1)
    place[order] = np.arange(len(order))
    labels = place[labels]
    used = labels >= 0
    return _Classes(names, labels[used], order, used, counts[order])


def _recall(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    copies: NDArray[np.int64],
    folds: NDArray[np.int64],
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return recall and training rows of every class, (1 + draws, classes) each: of the version, then of the draws."""
    scaled = vectors / (vectors.std() or 1.0)
    size, rng = min(int(copies.sum()), len(copies)), np.random.default_rng(seed)
    chosen = [copies]
    for _ in range(DRAWS):
        drawn = np.zeros(len(copies), np.int64)
        drawn[rng.choice(len(copies), size, replace=False)] = 1
        chosen.append(drawn)
    of_class = np.bincount(labels)
    recall, trained = np.empty((2, len(chosen), len(of_class)))
    for model, rows in enumerate(chosen):
        right, trained[model] = correct_by_fold(scaled, labels, rows, folds)
        recall[model] = np.bincount(labels, right) / of_class
    return recall, trained


def _comparison(recall: NDArray[np.float64]) -> Comparison:
    """Compare mean recalls over some classes. recall: (1 + draws, classes), the version first."""
    version, *draws = recall.mean(axis=1).tolist()
    return Comparison(
        classes=recall.shape[1],
        random=float(np.mean(draws)),
        deviation=float(np.std(draws, ddof=1)),
        version=version,
        better=sum(version > one for one in draws),
        draws=len(draws),
    )


def _read(steps: Mapping[str, StepRef], label: str, scratch: str) -> _Rows:
    """Return vectors, labels, copies and folds of the rows that sampling chose from, thinned where they are many."""
    signals = {name.removeprefix("signals."): ref for name, ref in steps.items() if name.startswith("signals.")}
    rows = CandidateRows.open(steps["ingest"], steps["embed"], steps["cluster"], scratch, signals)
    column = f"group.{label}"
    rows.check([column])
    selection = Selection.open(steps["sample"])
    share = min(1.0, MOST_ROWS / max(1, rows.pool.rows))
    found: list[_Rows] = []
    for block in rows.blocks:
        table = rows.table(block, ["identity", column])
        identity = table["identity"].to_numpy()
        table = table.filter(uniform(THIN_SEED, identity) < share)
        if not len(table):
            continue
        row_ids, identity = table["row_id"].to_numpy(), table["identity"].to_numpy()
        kept = selection.between(int(row_ids[0]), int(row_ids[-1]))
        copies = np.zeros(len(row_ids), np.int64)
        place = np.searchsorted(row_ids, kept["row_id"].to_numpy())
        there = (place < len(row_ids)) & (row_ids[np.minimum(place, len(row_ids) - 1)] == kept["row_id"].to_numpy())
        copies[place[there]] = kept["copies"].to_numpy()[there]
        labels = table[column].to_numpy(zero_copy_only=False)
        folds = (uniform(FOLD_SEED, identity) * FOLDS).astype(np.int64)
        found.append(_Rows(rows.vectors(block, row_ids), labels, copies, folds))
    if not found:
        raise InputError("no row is left to evaluate on", where="the pool of the version")
    return _Rows(*(np.concatenate(part) for part in zip(*found, strict=True)))


def draw_evaluation(found: Evaluation, path: Path) -> None:
    """Draw the recall of every band, random and version, as an SVG."""
    import altair

    names = [f"{band.name} ({band.pool:,} rows)" for band in found.bands]
    points = [
        {"band": name, "recall": recall, "trained on": model}
        for name, band in zip(names, found.bands, strict=True)
        for model, recall in (("random draws", band.recall_random), ("this version", band.recall_version))
    ]
    lines = [
        {"band": name, "low": band.recall_random, "high": band.recall_version}
        for name, band in zip(names, found.bands, strict=True)
    ]
    widest = CHARACTER * max(map(len, names), default=0)
    y = altair.Y("band:N", sort=names, title=None, axis=altair.Axis(labelLimit=LABEL, minExtent=min(LABEL, widest)))
    x = altair.X("recall:Q", title="recall on held-out rows", axis=altair.Axis(format=".0%"))
    scale = altair.Scale(domain=["random draws", "this version"], range=["#8f6d35", "#0b6e75"])
    colour = altair.Color("trained on:N", scale=scale, legend=altair.Legend(orient="top", title="trained on"))
    base = altair.Chart(altair.Data(values=lines)).mark_rule(strokeWidth=3, color="#d8d4cc")
    rule = base.encode(y=y, x=altair.X("low:Q", title="recall on held-out rows"), x2="high:Q")
    dots = altair.Chart(altair.Data(values=points)).mark_circle(size=110, opacity=1).encode(y=y, x=x, color=colour)
    title = altair.Title(f"What {found.rows:,} rows teach about {found.label}", anchor="start")
    chart = altair.layer(rule, dots).properties(width=420, height=26 * len(names), title=title)
    chart.configure(padding=PADDING).save(str(path), format="svg")
