"""Dropped rows are shown beside their representatives."""

from pathlib import Path

from evenkeel.tasks.dedup.config import DedupConfig, IdList
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedders.tfidf_svd import TfidfSvdEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.report.removed import removed_rows
from tests.embed.pools import make_pool, new_run


def test_dropped_rows_are_shown_beside_their_representatives(tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(40)]
    texts = [" ".join(words), " ".join(words), " ".join([*words[:39], "other"]), "taken down", "Mail a@example.org now"]
    run = new_run(tmp_path)
    ids = ["best", "same", "near", "gone", "alone"]
    pool = make_pool(run, tmp_path / "pool", {"id": ids, "text": texts, "q": [9.0, 1, 1, 1, 1]}, scores=["q"])
    embed = EMBED(TfidfSvdEmbedding(dimension=4), EmbedInputs(ingest=pool), run)
    (tmp_path / "list.txt").write_text("gone\n")
    config = DedupConfig(best="q", exclude=[IdList(uri=str(tmp_path / "list.txt"))])
    dedup = DEDUP(config, DedupInputs(ingest=pool, embed=embed), run)
    found = removed_rows(dedup, Pool.open(pool), 5)
    assert [(one.kind, one.row.id, one.representative.id) for one in found] == [
        ("exact", "same", "best"),
        ("near", "near", "best"),
    ]
    assert found[0].similarity == 1 > found[1].similarity > 0.7
    assert found[1].row.text.endswith("other")
    assert removed_rows(dedup, Pool.open(pool), 1)[0].row.id == "same"
