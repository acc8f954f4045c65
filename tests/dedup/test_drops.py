"""Drops: groups move to the last representative, and nothing is lost or counted twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenkeel.infra.errors import AccountingError
from evenkeel.tasks.dedup.drops import EXACT, EXCLUDED, KINDS, NEAR, SEMANTIC, Drops


@st.composite
def stages(draw: st.DrawFn) -> tuple[int, list[Drops]]:
    """Stages over n rows; each drops rows that are still kept in favour of rows that it keeps."""
    n = draw(st.integers(1, 30))
    alive, found = list(range(n)), []
    for kind in (EXCLUDED, EXACT, NEAR, SEMANTIC):
        gone = [row for row in alive if draw(st.booleans())] if len(alive) > 1 else []
        rest = [row for row in alive if row not in gone]
        if not rest:
            rest, gone = gone[:1], gone[1:]
        of = gone if kind == EXCLUDED else [draw(st.sampled_from(rest)) for _ in gone]
        found.append(Drops.of(np.array(gone, np.uint64), np.array(of, np.uint64), kind, 1 - kind / 10))
        alive = rest
    return n, found


@given(stages())
def test_every_row_has_one_fate_and_names_a_kept_row(case: tuple[int, list[Drops]]) -> None:
    n, found = case
    drops = Drops.none()
    for stage in found:
        drops = drops.followed_by(stage)
    rows = np.arange(n, dtype=np.uint64)
    dropped = drops.contain(rows)
    assert len(drops) == sum(map(len, found)) == dropped.sum() == sum(drops.counts().values())
    excluded = drops.kind == EXCLUDED
    np.testing.assert_array_equal(drops.duplicate_of[excluded], drops.row_id[excluded])
    assert not drops.contain(drops.duplicate_of[~excluded]).any()
    kept, sizes = drops.sizes()
    assert sizes.sum() - len(kept) == len(drops) - excluded.sum()
    assert (np.diff(drops.row_id.astype(np.int64)) > 0).all()


def test_a_chain_takes_its_weakest_link() -> None:
    one = Drops.of(np.array([1], np.uint64), np.array([2], np.uint64), EXACT, 1.0)
    two = Drops.of(np.array([2], np.uint64), np.array([3], np.uint64), NEAR, 0.8)
    both = one.followed_by(two)
    assert both.duplicate_of.tolist() == [3, 3]
    assert [KINDS[kind] for kind in both.kind] == ["near", "near"]
    np.testing.assert_allclose(both.similarity, 0.8)


def test_a_row_cannot_be_dropped_twice() -> None:
    one = Drops.of(np.array([1], np.uint64), np.array([2], np.uint64), EXACT)
    with pytest.raises(AccountingError):
        one.followed_by(one)
