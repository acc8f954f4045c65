"""Near-duplicates: what brute force finds on real texts, nothing else, for any number of workers."""

import ast
import re
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from evenkeel.tasks.dedup import near as near_module
from evenkeel.tasks.dedup.config import DedupConfig, NearConfig
from evenkeel.tasks.dedup.groups import PARTNERS, bucket_pairs, direct_representatives, linked_representatives
from evenkeel.tasks.dedup.minhash import band_hashes, choose_bands, similarities, sketches
from evenkeel.tasks.ingest.pool import Pool
from evenkeel.tasks.step import Run
from tests.dedup.test_exact import dedup
from tests.embed.pools import make_pool, new_run
from tests.examples import telling


def shingles(text: str, width: int = 3) -> frozenset[tuple[str, ...]]:
    """An independent reading of what a shingle is."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).lower())
    return (
        frozenset(tuple(words[i : i + width]) for i in range(max(len(words) - width, 0) + 1)) if words else frozenset()
    )


def true_pairs(texts: list[str], threshold: float) -> dict[tuple[int, int], float]:
    """All pairs of texts by brute force: every intersection is counted."""
    sets = [shingles(text) for text in texts]
    number = {shingle: i for i, shingle in enumerate(dict.fromkeys(s for one in sets for s in sorted(one)))}
    rows = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    columns = [number[shingle] for one in sets for shingle in one]
    held = sparse.csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(sets), len(number)))
    both = sparse.triu(held @ held.T, k=1).tocoo()
    sizes = np.array([len(one) for one in sets])
    alike = both.data / (sizes[both.row] + sizes[both.col] - both.data)
    return {(int(i), int(j)): s for i, j, s in zip(both.row, both.col, alike, strict=True) if s >= threshold}


@pytest.fixture(scope="module")
def docstrings() -> list[str]:
    """Real texts with real near duplicates: the docstrings of scikit-learn, read with ast; no two equal."""
    found: dict[str, None] = {}
    for path in sorted(Path(sklearn.__file__).parent.glob("[a-m]*/_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node)):
                found[text] = None
    assert len(found) > 700
    return list(found)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run(tmp_path)


@pytest.mark.parametrize("threshold", telling([0.5, 0.7, 0.9], "0.7"))
@pytest.mark.long
def test_brute_force_agrees_on_real_texts(run: Run, tmp_path: Path, docstrings: list[str], threshold: float) -> None:
    truth = true_pairs(docstrings, threshold)
    pool = make_pool(run, tmp_path / "p", {"text": docstrings}, shards=3)
    config = DedupConfig(near=NearConfig(threshold=threshold))
    ref, duplicates = dedup(run, pool, config)
    position = {row_id: i for i, row_id in enumerate(Pool.open(pool).row_ids().tolist())}
    dropped = duplicates.dropped()
    near = {
        (min(position[row], position[of]), max(position[row], position[of])): alike
        for row, of, alike in zip(
            *(dropped[name].to_pylist() for name in ("row_id", "duplicate_of", "similarity")), strict=True
        )
    }
    assert len(truth) > 20
    assert set(near) <= set(truth)
    np.testing.assert_allclose(list(near.values()), [truth[pair] for pair in near], atol=0.06)
    kept = duplicates.kept(Pool.open(pool).row_ids())
    left = sum(kept[i] and kept[j] for i, j in truth)
    allowed = max(3, 0.05 * len(truth))
    assert left <= allowed
    assert ref.facts["near"]["pairs_verified"] >= len(truth) - allowed


@pytest.mark.long
def test_workers_blocks_and_ranges_do_not_matter(
    tmp_path: Path, docstrings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"id": [f"r{i}" for i in range(500)], "text": docstrings[:500]}
    results = []
    for name, threads, rows_per_block, range_rows in (("a", 1, 1000, 1 << 24), ("b", 4, 37, 100)):
        monkeypatch.setattr(near_module, "ROWS_PER_RANGE", range_rows)
        run = new_run(tmp_path / name, threads)
        pool = make_pool(run, tmp_path / name / "p", columns, shards=1, rows_per_block=rows_per_block)
        results.append(dedup(run, pool, DedupConfig())[1].dropped())
    assert results[0].num_rows > 20
    assert results[0].equals(results[1])


@pytest.mark.long
def test_a_killed_run_goes_on_to_the_same_result(
    run: Run, tmp_path: Path, docstrings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(run, tmp_path / "p", {"text": docstrings[:400]})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(near_module, "_verify", killed)
        with pytest.raises(KeyboardInterrupt):
            dedup(run, pool, DedupConfig())
    resumed = dedup(run, pool, DedupConfig())[1].dropped()
    fresh_run = new_run(tmp_path / "fresh")
    fresh = dedup(fresh_run, make_pool(fresh_run, tmp_path / "p", {"text": docstrings[:400]}), DedupConfig())[
        1
    ].dropped()
    assert resumed.equals(fresh)


def test_chains_leave_one_row_only_where_asked(run: Run, tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(60)]
    chain = [" ".join(words[start : start + 40]) for start in range(0, 21, 4)]
    pool = make_pool(run, tmp_path / "p", {"text": [*chain, "something else altogether"]}, shards=1)
    direct = dedup(run, pool, DedupConfig(near=NearConfig(threshold=0.75)))
    linked = dedup(run, pool, DedupConfig(near=NearConfig(threshold=0.75, groups="linked")))
    assert linked[0].counts["kept"] == 2
    assert 2 < direct[0].counts["kept"] < 7
    assert min(direct[1].dropped()["similarity"].to_pylist()) >= 0.75
    assert min(linked[1].dropped()["similarity"].to_pylist()) < 0.75


@pytest.mark.parametrize(
    "texts",
    [
        ["Hello", "hello!", "world", "other"],
        ["a b", "A  B.", "a c", "b"],
        ["...", "!!!", "--- ---", "\u3002", "word"],
        ["caf\u00e9 noir", "cafe\u0301 NOIR", "cafe noir", "\uff43\uff41\uff46\u00e9 noir"],
        [
            "\u65e5\u672c\u8a9e\u306e\u6587\u3067\u3059\u3002",
            "\u65e5\u672c\u8a9e\u306e\u6587\u3067\u3059",
            "\u4e2d\u6587",
            "x",
        ],
    ],
)
def test_short_and_odd_texts_fall_together_only_when_their_words_do(run: Run, tmp_path: Path, texts: list[str]) -> None:
    pool = make_pool(run, tmp_path / "p", {"text": texts}, shards=1)
    _, duplicates = dedup(run, pool, DedupConfig(zero_vectors="keep"))
    sets = [
        shingles(text) if not re.search(r"[\u3000-\u9fff]", text) else frozenset(re.findall(r"[^\W_]", text))
        for text in texts
    ]
    dropped = sum(bool(one) and one in sets[:i] for i, one in enumerate(sets))
    assert duplicates.dropped().num_rows == dropped


@pytest.mark.long
def test_nothing_is_removed_from_a_set_without_duplicates(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in rng.integers(0, 300, 30)) for _ in range(2000)]
    ref, _ = dedup(run, make_pool(run, tmp_path / "p", {"text": texts}), DedupConfig())
    assert ref.counts["kept"] == 2000


def test_all_rows_almost_identical_leave_one(run: Run, tmp_path: Path) -> None:
    base = " ".join(f"word{i}" for i in range(100))
    ref, _ = dedup(run, make_pool(run, tmp_path / "p", {"text": [f"{base} {i}" for i in range(400)]}), DedupConfig())
    assert ref.counts == {
        "rows": 400,
        "kept": 1,
        "exact": 0,
        "near": 399,
        "semantic": 0,
        "excluded": 0,
        "unreadable": 0,
        "featureless": 0,
        "filtered": 0,
    }


@given(st.floats(0.2, 1), st.floats(0.5, 0.99))
def test_bands_pass_through_the_wanted_point(threshold: float, recall: float) -> None:
    bands = choose_bands(threshold, recall)
    assert bands.probability(threshold) >= recall or bands.rows == 1
    assert bands.bands * bands.rows <= 144


def test_texts_share_a_bucket_as_often_as_the_s_curve_says() -> None:
    rng = np.random.default_rng(0)
    config = NearConfig(threshold=0.7, shingle=1)
    bands = choose_bands(0.7, 0.95)
    changed = rng.integers(1, 30, 3000)
    pairs = [" ".join(f"c{i}x{k}" for k in range(60)) for i in range(3000)]
    others = [" ".join(f"{'d' if k < n else 'c'}{i}x{k}" for k in range(60)) for i, n in enumerate(changed)]
    texts = pa.chunked_array([pa.array(pairs + others)])
    buckets, _ = band_hashes(texts, config, bands)
    met = (buckets[:, :3000] == buckets[:, 3000:]).any(axis=0)
    alike = (60 - changed) / (60 + changed)
    expected = np.array([bands.probability(s) for s in alike])
    for low in np.arange(0.3, 0.95, 0.1):
        near = (alike >= low) & (alike < low + 0.1)
        spread = np.sqrt((expected[near] * (1 - expected[near])).sum()) / near.sum()
        assert abs(met[near].mean() - expected[near].mean()) < 4 * spread + 0.01
    both = sketches(texts, config)
    found = np.empty(3000, np.float32)
    similarities(both, np.arange(3000), both, np.arange(3000, 6000), found)
    np.testing.assert_allclose(found, alike, atol=1e-6)


def test_long_texts_are_compared_by_their_smallest_hashes() -> None:
    words = [f"w{i}" for i in range(40_000)]
    texts = pa.chunked_array([pa.array([" ".join(words[:30_000]), " ".join(words[5_000:35_000])])])
    both = sketches(texts, NearConfig())
    found = np.empty(1, np.float32)
    similarities(both, np.array([0]), both, np.array([1]), found)
    assert len(both.hashes) == 1024
    assert abs(found[0] - 25 / 35) < 0.09


@given(st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_a_full_bucket_gives_pairs_in_proportion_to_its_rows(sizes: list[int]) -> None:
    bucket = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    pairs = bucket_pairs(bucket, np.arange(len(bucket)))
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    assert len(pairs) <= 2 * PARTNERS * len(bucket)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    np.testing.assert_array_equal(bucket[pairs[:, 0]], bucket[pairs[:, 1]])
    small = sum(n * (n - 1) // 2 for n in sizes)
    assert len(pairs) == small or max(sizes) > PARTNERS + 1


@given(
    st.integers(1, 25).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))))
    )
)
def test_groups_are_what_they_say(case: tuple[int, set[tuple[int, int]]]) -> None:
    rows, edges = case
    edges = {(min(e), max(e)) for e in edges if e[0] != e[1]}
    pairs = np.array(sorted(edges), np.int64).reshape(-1, 2)
    representative, _ = direct_representatives(rows, pairs, np.linspace(0.7, 1, len(pairs), dtype=np.float32))
    kept = representative == np.arange(rows)
    assert not any(kept[i] and kept[j] for i, j in edges)
    assert all(kept[representative[row]] and (kept[row] or (representative[row], row) in edges) for row in range(rows))
    best = list(range(rows))
    for _ in range(rows):
        for one, other in edges:
            best[one] = best[other] = min(best[one], best[other])
    assert linked_representatives(rows, pairs).tolist() == best
