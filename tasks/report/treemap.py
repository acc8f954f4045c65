"""The tree of clusters as nested boxes, before and after: a view of the top level, and one of what is in a cluster.

Rectangles are laid out by the squarified treemap (Bruls, Huizing and van Wijk 2000).
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from evenkeel.expectations.wording import percent
from evenkeel.tasks.report.facts import CardFacts

WIDTH, HEIGHT = 4.0, 3.0
MOST_TILES, ALL_TILES = 30, 1_500  # of a view, and of the page
SMALL = 0.02  # of a view's area: too small for words
REST = -1
Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class Tile:
    """A box: its place as a CSS style, in percent; the id of the view that it opens, "" for none."""

    style: str
    name: str
    share: str
    opens: str
    small: bool


@dataclass(frozen=True)
class View:
    """The children of a cluster, or the top level. trail: (id, name) of the views above it, the top first."""

    id: str
    name: str
    trail: list[tuple[str, str]]
    before: list[Tile]
    after: list[Tile]


@dataclass(frozen=True)
class ClusterBoxes:
    """All views, the top level first; header and rows: the numbers of the top level as a table."""

    title: str
    views: list[View]
    header: list[str]
    rows: list[list[str]]


def draw_boxes(facts: CardFacts, names: pa.Table) -> ClusterBoxes | None:
    """Return the boxes, None where there are fewer than two clusters at the top.

    names: the table of `name_clusters`. The largest clusters are opened first, as long as the page has room.
    """
    table = names.to_pandas().drop(columns=["words", "representatives"])
    levels = len(facts.levels)
    top = _largest_first(table[table["level"] == levels], "pool")
    if len(top) < 2:
        return None
    totals = float(top["pool"].sum()) or 1.0, float(top["kept"].sum()) or 1.0
    children = dict(list(table[table["level"] < levels].groupby(["level", "parent"])))
    plan = [_Opened(levels, REST, "All clusters", [], top)]
    tiles = 2 * min(len(top), MOST_TILES)
    for view in plan:  # grows while it is walked: the views of a level after all those above it
        for number, name in _pairs(_largest_first(view.part, "pool").head(MOST_TILES), "name"):
            below = children.get((view.level - 1, number))
            if below is None or len(below) < 2 or tiles + 2 * min(len(below), MOST_TILES) > ALL_TILES:
                continue
            tiles += 2 * min(len(below), MOST_TILES)
            plan.append(_Opened(view.level - 1, number, name, [*view.trail, (view.id, view.name)], below))
    opened = {view.id for view in plan}
    views = [
        View(
            view.id,
            view.name,
            view.trail,
            _tiles(view, "pool", totals[0], opened),
            _tiles(view, "kept", totals[1], opened),
        )
        for view in plan
    ]
    rows = [
        [name, percent(pool / totals[0]), percent(kept / totals[1])]
        for (_, name), pool, kept in zip(_pairs(top, "name"), top["pool"], top["kept"], strict=True)
    ][:MOST_TILES]
    return ClusterBoxes(_title(rows, len(top)), views, ["Cluster", "Before", "After"], rows)


@dataclass(frozen=True)
class _Opened:
    """A view to be: the children of cluster `number`, which are of `level`."""

    level: int
    number: int
    name: str
    trail: list[tuple[str, str]]
    part: pd.DataFrame

    @property
    def id(self) -> str:
        return _view(self.level, self.number)


def squarify(sizes: Sequence[float], width: float, height: float) -> list[Rectangle]:
    """Return (left, top, width, height) of a rectangle for each size, which fill width x height.

    sizes: positive, descending. Rows of rectangles are laid along the shorter side, each as long as that makes its
    rectangles more like squares.
    """
    areas = np.asarray(sizes, float) * (width * height / max(float(np.sum(sizes)), 1e-300))
    found: list[Rectangle] = []
    left = top = 0.0
    start = 0
    while start < len(areas):
        side = min(width, height)
        end = start + 1
        while end < len(areas) and _worst(areas[start : end + 1], side) <= _worst(areas[start:end], side):
            end += 1
        row = areas[start:end]
        depth = float(row.sum()) / max(side, 1e-12)
        offset = 0.0
        for area in row:
            length = float(area) / max(depth, 1e-12)
            along = height <= width  # the row is a column of boxes at the left
            place = (left, top + offset, depth, length) if along else (left + offset, top, length, depth)
            found.append(place)
            offset += length
        if height <= width:
            left, width = left + depth, width - depth
        else:
            top, height = top + depth, height - depth
        start = end
    return found


def _worst(row: np.ndarray, side: float) -> float:
    """Return the largest ratio of sides in a row of areas along `side`."""
    total = float(row.sum())
    return max(side**2 * float(row.max()) / total**2, total**2 / (side**2 * float(row.min())))


def _tiles(view: _Opened, column: str, total: float, opened: Set[str]) -> list[Tile]:
    """Return the boxes of the clusters of a view, the smallest of too many as one."""
    part = _largest_first(view.part[view.part[column] > 0], column)
    shown = part.head(MOST_TILES if len(part) <= MOST_TILES else MOST_TILES - 1)
    ids = [_view(view.level - 1, number) for number in shown["id"].tolist()]
    lines = list(zip(map(str, shown["name"]), map(float, shown[column]), ids, strict=True))
    if len(shown) < len(part):
        lines.append((f"{len(part) - len(shown):,} more", float(part[column].sum() - shown[column].sum()), ""))
        lines.sort(key=lambda line: -line[1])
    boxes = squarify([size for _, size, _ in lines], WIDTH, HEIGHT)
    return [
        Tile(
            _style(box),
            name,
            percent(size / total),
            opens if opens in opened else "",
            box[2] * box[3] < SMALL * WIDTH * HEIGHT,
        )
        for (name, size, opens), box in zip(lines, boxes, strict=True)
    ]


def _style(box: Rectangle) -> str:
    left, top, width, height = (100 * part / of for part, of in zip(box, (WIDTH, HEIGHT) * 2, strict=True))
    return f"left:{left:.2f}%;top:{top:.2f}%;width:{width:.2f}%;height:{height:.2f}%"


def _largest_first(part: pd.DataFrame, column: str) -> pd.DataFrame:
    return part.sort_values([column, "id"], ascending=[False, True])


def _pairs(part: pd.DataFrame, column: str) -> list[tuple[int, str]]:
    return [(int(number), str(value)) for number, value in zip(part["id"], part[column], strict=True)]


def _title(rows: list[list[str]], count: int) -> str:
    name, before, after = rows[0]
    return f"{count:,} topics; the largest, {name}, had {before} of the rows and has {after}"


def _view(level: int, number: int) -> str:
    return "boxes" if number == REST else f"boxes-{level}-{number}"
