"""The card lists the columns that a trainer follows with what was decided."""

import pytest

from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.report.config import ReportConfig
from tests.report.cards import RELAXED, card_of
from tests.validate.pools import HOSTILE, Curated


@pytest.mark.long
def test_annotations_are_listed_with_what_was_decided(curated: Curated) -> None:
    about = {
        "kind": "splits",
        "columns": [["ek_split", "string", f"train or test {HOSTILE}"], ["ek_client", "int32", "who has it"]],
        "rows": {"train": 1234, "test": 12},
        "stages": [{"name": "warm", "share": 0.3}],
    }
    ref = StepRef(step="annotate", key="splits", uri="nowhere", facts=about)
    card = card_of(curated, RELAXED, ReportConfig(dataset="topics", version=1), **{"annotations.splits": ref})
    assert 'href="#following"' in card.html
    assert "<code>ek_client</code>: who has it" in card.html
    assert "rows: train 1,234, test 12; stages: name warm, share 0.3" in card.html
    assert "- splits: rows: train 1,234, test 12" in card.summary
    assert "<script" not in card.html
