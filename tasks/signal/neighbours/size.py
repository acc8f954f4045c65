"""How many cells a pool has, and how many rows each row is compared with: what neighbours cost."""

ROWS_PER_CELL, MAX_CELLS = 512, 8192
NEXT = 8
MAX_COMPARED = 4096


def cells_for(rows: int) -> int:
    """Return the number of cells: one for 512 rows, at most 8,192."""
    return max(1, min(rows // ROWS_PER_CELL, MAX_CELLS))


def rows_compared(rows: int, leaf: float = 0.0) -> float:
    """Return the mean number of rows that a row is compared with; leaf: the mean rows of a leaf, 0 for own cells."""
    cell = leaf or rows / cells_for(rows)
    return min(float(rows), (NEXT + 1) * min(cell, MAX_COMPARED))
