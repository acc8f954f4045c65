"""The device loop, run on NumPy arrays in the device's place: it finds what the CPU path finds, and little travels."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from evenkeel.infra.errors import InputError, ResourceError
from evenkeel.tasks.cluster.checkpoint import Checkpoint
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.resample import fit_level
from evenkeel.tasks.kmeans import relocation as on_host
from evenkeel.tasks.kmeans.device import batches, grouped, nearest, ranking, relocation
from evenkeel.tasks.kmeans.device import rows as rows_module
from evenkeel.tasks.kmeans.device.engine import DeviceEngine
from evenkeel.tasks.kmeans.device.ranking import Ranker
from evenkeel.tasks.kmeans.device.rows import prepare_rows
from evenkeel.tasks.kmeans.device.search import DeviceSearch
from evenkeel.tasks.kmeans.engine import open_engine
from evenkeel.tasks.kmeans.fit import KMeans, finish
from evenkeel.tasks.kmeans.index import CentroidIndex
from evenkeel.tasks.kmeans.options import Device, FitState, Hooks, Iteration, Options, Products
from evenkeel.tasks.kmeans.prepare import prepare
from evenkeel.tasks.kmeans.pruned_kernels import Ranking
from tests.gpu.lines import Lines
from tests.gpu.parted import PARTS
from tests.gpu.standin import StandIn
from tests.kmeans.mixtures import brute, mixture

GPU = Device(gpu=True)
KINDS: tuple[Products, ...] = ("float32", "tf32", "tf32x3")
FOLDER = Path(rows_module.__file__).parent
LINES = Lines(
    FOLDER,
    PARTS | {"cuda.py", "cuda_source.py", "cupy_arrays.py", "arrays.py", "opening.py", "density.py", "_accept"},
)


@pytest.fixture(autouse=True)
def followed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Note which lines of the device loop a test runs."""
    with LINES.followed(request):
        yield


def fit(x: np.ndarray, k: int, options: Options | None = None, seed: int = 0, device: Device = GPU) -> KMeans:
    """Cluster once, on the device."""
    options, rng = options or Options(iterations=6), np.random.default_rng(seed)
    engine = open_engine(x, k, options, rng, device=device)
    return finish(engine, engine.fit(engine.seed(k, options.seeding, rng), options, rng))


def same(a: KMeans, b: KMeans) -> bool:
    return a.centroids.tobytes() == b.centroids.tobytes() and np.array_equal(a.labels, b.labels)


@pytest.mark.long
def test_the_exact_path_is_that_of_the_cpu(device: StandIn) -> None:
    x = mixture(1200, 8, 40)
    config = ClusteringConfig(precision="exact", resampling=1, iterations=4)
    host, there = (fit_level(x, 30, config, seed=0, device=one) for one in (Device(1), GPU))
    assert there.inertia == pytest.approx(host.inertia, rel=1e-5)
    assert (there.labels == host.labels).mean() > 0.999
    np.testing.assert_allclose(there.distances, host.distances, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_fast_path_is_no_worse_than_that_of_the_cpu(device: StandIn) -> None:
    """The measure to which devices agree: inertia within 1 %, balance within 5 %, and rows mostly together."""
    x = mixture(3000, 12, 300)
    config = ClusteringConfig(resampling=1)
    host, there = (fit_level(x, 150, config, seed=0, device=one) for one in (Device(1), GPU))
    assert there.inertia <= 1.01 * host.inertia
    assert adjusted_rand_score(there.labels, host.labels) > 0.5
    sizes = [np.sort(np.bincount(one.labels)) for one in (host, there)]
    gini = [float((2 * np.arange(1, len(s) + 1) - len(s) - 1) @ s / (len(s) * s.sum())) for s in sizes]
    assert gini[1] == pytest.approx(gini[0], abs=0.05)
    labels, distances = brute(x, there.centroids)
    assert (labels == there.labels).mean() > 0.999
    assert there.inertia == pytest.approx((distances**2).sum(), rel=1e-4)


@pytest.mark.parametrize(("n", "d"), [(800, 6), (3200, 24)])
def test_bytes_of_an_iteration_follow_from_the_clusters_alone(device: StandIn, n: int, d: int) -> None:
    k, seen = 130, []

    def note(_: Iteration) -> None:
        seen.append((device.traffic.up, device.traffic.down))

    x, rng = mixture(n, d, 150), np.random.default_rng(0)
    engine = open_engine(x, k, Options(), rng, device=GPU)
    assert x.nbytes <= device.traffic.up <= x.nbytes + 16 * k * 64  # rows once, and the choice of a sample
    centroids = engine.seed(k, "grouped", rng)
    found = engine.fit(centroids, Options(iterations=6, tolerance=0), rng, Hooks(note))
    each = np.diff(np.array(seen), axis=0)
    assert len(each) == 5
    assert each.max() <= 100 * k + 8 * 1024 + 4096, "passes of prices, k numbers each, and the parts of one sum"
    down = device.traffic.down
    finish(engine, found)
    assert device.traffic.down - down <= 4 * (2 * n + k * d) + 8 * 1024 + 64  # labels, distances, centroids


@pytest.mark.parametrize("metric", ["euclidean", pytest.param("cosine", marks=pytest.mark.slow)])
@pytest.mark.long
def test_blocks_batches_and_products_do_not_change_a_bit(
    device: StandIn, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = mixture(1500, 9, 200)
    options = Options(iterations=4, metric="cosine" if metric == "cosine" else "euclidean")
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 400 * 4 * 9)
    whole = fit(x, 140, options)
    device.memory = 300_000  # rows stay on the device, batches are small
    assert same(whole, fit(x, 140, options))
    assert max(rows for rows, _, _ in device.products[-20:]) <= 256
    device.memory = 60_000  # rows do not fit: their blocks travel in every pass
    before = device.traffic.up
    assert same(whole, fit(x, 140, options))
    assert device.traffic.up - before > 10 * x.nbytes
    device.memory = 1 << 34
    kinds: list[Products] = ["float32", "tf32x3"]
    assert all(same(whole, fit(x, 140, options, device=Device(gpu=True, products=one))) for one in kinds)


def test_ranks_by_cut_products_are_those_of_float64(device: StandIn) -> None:
    rng = np.random.default_rng(5)
    x, points = rng.standard_normal((600, 40), np.float32) + 3, rng.standard_normal((9, 40), np.float32) + 3
    points = np.repeat(points, 50, axis=0) + np.float32(0.003) * rng.standard_normal((450, 40), np.float32)
    rows = prepare_rows(device, x, None, "euclidean")
    there = device.put((points - rows.frame.shift) * np.float32(rows.frame.scale))
    squared = ((x[:, None].astype(np.float64) - points[None]) ** 2).sum(axis=2)
    order = np.argsort(squared, axis=1)[:, :3]
    clear = (np.diff(np.sort(squared, axis=1)[:, :4], axis=1) > 2e-5 * squared.max()).all(axis=1)
    assert clear.mean() > 0.1
    found = {kind: Ranker(device, kind).rank(rows, there) for kind in KINDS}
    for ranked in found.values():
        assert np.array_equal(device.get(ranked.ids)[clear], order[clear])
        assert np.array_equal(device.get(ranked.ids), device.get(found["float32"].ids))
        assert np.array_equal(device.get(ranked.gaps), device.get(found["float32"].gaps))
    assert len({cut for _, _, cut in device.products}) == 2
    settled_again = [rows for rows, k, cut in device.products if k == 450 and cut and rows < 600]
    assert settled_again, "products in TF32 leave rows open, which more exact ones settle"


def test_the_error_of_products_is_within_its_bound(device: StandIn) -> None:
    rng = np.random.default_rng(1)
    for d in (3, 64, 512):
        x, y = (rng.standard_normal((50, d)).astype(np.float32) * 10 for _ in range(2))
        true = x.astype(np.float64) @ y.T.astype(np.float64)
        whole, quartic = (
            np.outer(*((np.abs(one) ** power).sum(axis=1) ** (1 / power) for one in (x, y))) for power in (2, 4)
        )
        for kind in KINDS:
            out = device.put(np.empty((50, 50), np.float32))
            a, b = (ranking.factor_of(device, device.put(one), kind) for one in (x, y))
            ranking.multiply(device, a, b, out, kind)
            error = ranking.product_error(kind, d)
            assert (np.abs(device.get(out) - true) <= error.whole * whole + error.spread * quartic).all()


def test_rows_whose_roundings_depend_on_each_other_are_settled_too(device: StandIn) -> None:
    """All terms of these products are rounded alike, so they are off by far more than independent ones would be."""
    rng = np.random.default_rng(2)
    d, x = 4096, np.ones((40, 4096), np.float32) * np.linspace(1.0001, 1.0004, 40, dtype=np.float32)[:, None]
    points = np.ones((60, d), np.float32) * rng.uniform(0.9996, 1.0006, (60, 1)).astype(np.float32)
    rows = replace(prepare_rows(device, x - x.mean(), None, "euclidean"), norms=device.put((x * x).sum(axis=1)))
    rows = replace(rows, x=device.put(x), quartic=device.put((x**4).sum(axis=1) ** np.float32(0.25)))
    found = Ranker(device, "tf32").rank(rows, device.put(points))
    squared = ((x[:, None, :1].astype(np.float64) - points[None, :, :1]) ** 2).sum(axis=2)
    assert np.array_equal(device.get(found.ids)[:, 0], squared.argmin(axis=1))


def test_many_open_rows_end_cut_products(device: StandIn) -> None:
    x = np.random.default_rng(0).standard_normal((400, 1), np.float32)
    ranker = Ranker(device, "tf32")
    rows = prepare_rows(device, x, None, "euclidean")
    ranker.rank(rows, device.put((1 + np.linspace(0, 1e-4, 400, dtype="f"))[:, None]))
    assert ranker.products == "tf32x3"


@pytest.mark.parametrize("weighted", [False, True])
def test_relocation_decides_what_the_sequence_on_the_cpu_decides(device: StandIn, weighted: bool) -> None:
    x = mixture(900, 6, 80, seed=3)
    weights = np.random.default_rng(2).integers(1, 4, 900) if weighted else None
    host, there = prepare(x, weights, "euclidean", 1), prepare_rows(device, x, weights, "euclidean")
    start = host.x[np.random.default_rng(1).choice(900, 60, replace=False)]
    search = DeviceSearch(there, Ranker(device, "float32"), None)
    centroids = device.put(start)
    labels, squared = search.rank(centroids)
    assert search.ranked is not None
    ids, gaps = (device.get(one) for one in search.ranked)
    near = Ranking(ids, ((gaps - host.norms[:, None]) / 2).astype(np.float32))
    expected, by_hand, error = start.copy(), device.get(labels), device.get(squared)
    moved = on_host.relocate(host, expected, by_hand, near, error, np.random.default_rng(9))
    again = search.relocate(centroids, labels, squared, np.random.default_rng(9))
    assert len(moved) > 5
    assert np.array_equal(again, moved)
    assert np.array_equal(device.get(centroids), expected)
    assert np.array_equal(device.get(labels), by_hand)


def test_too_little_memory_makes_batches_smaller_and_then_says_so(device: StandIn) -> None:
    x = mixture(1600, 5, 150)
    whole = fit(x, 140, Options(iterations=2))
    device.refuse = 500
    assert same(whole, fit(x, 140, Options(iterations=2)))
    assert device.released > 0
    device.refuse = 100
    with pytest.raises(ResourceError, match=r"too little memory to compare rows(.|\n)*memory_gib"):
        fit(x, 140)


def test_rows_that_find_no_room_are_streamed(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    x = mixture(300, 4, 20)
    whole = fit(x, 10)

    def none(shape: object, dtype: object = float) -> None:
        if shape == (300, 4):
            raise MemoryError
        return plain(shape, dtype)  # type: ignore[no-any-return]

    plain = device.xp.empty
    monkeypatch.setattr(device.xp, "empty", none, raising=False)
    assert same(whole, fit(x, 10))


@pytest.mark.long
def test_groups_find_nearly_what_comparing_with_all_does(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    x = mixture(2400, 8, 300)
    whole = fit(x, 400)
    monkeypatch.setattr(grouped, "LEAST_CANDIDATES", 64)
    monkeypatch.setattr(grouped, "LISTS", 8)
    monkeypatch.setattr("evenkeel.tasks.kmeans.device.engine.GROUPED_ABOVE", 200)
    monkeypatch.setattr(grouped, "GROUPS_AT_A_TIME", 16)
    before = len(device.products)
    parts = fit(x, 400)
    assert max(k for _, k, _ in device.products[before:] if k != 400) < 200
    assert parts.inertia <= 1.01 * whole.inertia
    labels, _ = brute(x, parts.centroids)
    assert (labels == parts.labels).mean() > 0.97


@pytest.mark.parametrize("products", KINDS)
def test_rows_of_groups_that_products_leave_open_are_settled(device: StandIn, products: Products) -> None:
    """Where a group's candidates are all centroids, its rows are ranked as by comparing with all."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((500, 24), np.float32)
    points = np.repeat(rng.standard_normal((5, 24), np.float32), 40, axis=0)
    points[:100] += np.float32(1e-3) * rng.standard_normal((100, 24), np.float32)  # the others are equal, 40 by 40
    rows = prepare_rows(device, x, None, "euclidean")
    coarse = rows.gather(device.put(np.arange(0, 500, 50)))
    groups = grouped.Groups(coarse, Ranker(device, "float32").rank(rows, coarse).ids[:, 0].copy())
    found = grouped.GroupedRanker(device, products, groups).rank(rows, device.put(points))
    expected = Ranker(device, "float32").rank(rows, device.put(points))
    assert np.array_equal(device.get(found.ids), device.get(expected.ids))
    assert np.array_equal(device.get(found.gaps), device.get(expected.gaps))
    few = grouped.GroupedRanker(device, products, groups).rank(rows, device.put(points[::40]))
    assert np.array_equal(
        device.get(few.ids), device.get(Ranker(device, products).rank(rows, device.put(points[::40])).ids)
    )


def test_a_label_that_is_nearer_than_the_candidates_is_kept(device: StandIn) -> None:
    put = device.put
    ranked = ranking.Ranked(put(np.array([[1, 2, 3]] * 5, np.int32)), put(np.array([[1, 2, 3]] * 5, np.float32)))
    before, gaps = put(np.array([7, 7, 7, 7, 2], np.int32)), put(np.array([0.5, 1.5, 2.5, 9, 2], np.float32))
    grouped.keep_nearer(device, ranked, before, gaps)
    assert device.get(ranked.ids).tolist() == [[7, 1, 2], [1, 7, 2], [1, 2, 7], [1, 2, 3], [1, 2, 3]]
    assert device.get(ranked.gaps)[:3].tolist() == [[0.5, 1, 2], [1, 1.5, 2], [1, 2, 2.5]]


@pytest.mark.parametrize("seeding", ["random", "k-means++", "grouped"])
@pytest.mark.long
def test_weights_count_like_repeated_rows(device: StandIn, seeding: str) -> None:
    x, rng = mixture(900, 5, 60), np.random.default_rng(0)
    heavy = np.zeros(900)
    heavy[:600] = np.random.default_rng(1).integers(1, 4, 600)
    options = Options(iterations=4, seeding=seeding)  # type: ignore[arg-type]
    engine = open_engine(x, 140, options, rng, heavy, GPU)
    found = finish(engine, engine.fit(engine.seed(140, options.seeding, rng), options, rng))
    assert found.inertia == pytest.approx((heavy * found.distances.astype(np.float64) ** 2).sum(), rel=1e-4)
    plain = fit(np.repeat(x, heavy.astype(int), axis=0), 140, options)
    assert found.inertia <= 1.15 * plain.inertia


def test_more_clusters_than_distinct_rows_gives_the_distinct_rows(device: StandIn) -> None:
    distinct = mixture(12, 4)
    x = np.repeat(distinct, 30, axis=0)
    found = fit(x, 200)
    assert len(found.centroids) == 12
    assert found.inertia <= 1e-8
    assert fit(x[:30], 5).inertia == 0
    equal = Ranker(device, "tf32").rank(prepare_rows(device, x, None, "euclidean"), device.put(np.zeros((20, 4), "f")))
    assert device.get(equal.ids).tolist() == [[0, 1, 2]] * len(x)


@pytest.mark.parametrize(("mean", "sd"), [(1e4, 1.0), (0.0, 1e-12), (0.0, 1e12)])
def test_far_tiny_and_huge_values_keep_their_clusters(device: StandIn, mean: float, sd: float) -> None:
    moved = (mean + sd * mixture(400, 4, 20, 0.1).astype(np.float64)).astype(np.float32)
    host, there = (fit(moved, 20, device=one) for one in (Device(1), GPU))
    assert there.inertia == pytest.approx(host.inertia, rel=0.02)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 7e38])
def test_rows_that_cannot_be_clustered_are_named(device: StandIn, bad: float) -> None:
    x = mixture(50, 3).astype(np.float64)
    x[7, 1] = bad
    for memory in (1 << 30, 0):  # rows that do not fit are looked at where they are
        device.memory = memory
        with pytest.raises(InputError, match="row 7"):
            fit(x, 2)
    flat = mixture(50, 3)
    flat[11] = 0
    with pytest.raises(InputError, match="row 11"):
        fit(flat, 3, Options(metric="cosine"))


def test_centroids_may_be_given_and_float16_rows_travel_as_such(device: StandIn) -> None:
    x = mixture(500, 6, 30).astype(np.float16)
    first = fit(x, 20, Options(iterations=1, metric="cosine"))
    before = device.traffic.up
    engine = open_engine(x, 20, Options(metric="cosine"), np.random.default_rng(0), device=GPU)
    assert device.traffic.up - before <= x.nbytes + 64
    second = finish(engine, engine.fit(engine.start(first.centroids), Options(), np.random.default_rng(0)))
    assert second.inertia < first.inertia


@pytest.mark.long
def test_large_clusters_are_split_where_the_rows_are(device: StandIn) -> None:
    config = ClusteringConfig(resampling=1, iterations=3)
    found = fit_level(mixture(800, 5, 30), 20, config, seed=0, device=GPU, max_rows=60)
    assert np.bincount(found.labels).max() <= 60


@pytest.mark.parametrize("k", [20, 150])
@pytest.mark.long
def test_a_fit_that_was_cut_off_ends_as_if_it_had_not_been(device: StandIn, k: int) -> None:
    x, options, states = mixture(700, 5, 60), Options(iterations=7, tolerance=0), list[FitState]()

    def run(hooks: Hooks) -> KMeans:
        rng = np.random.default_rng(4)
        engine = open_engine(x, k, options, rng, device=GPU)
        return finish(engine, engine.fit(engine.seed(k, "auto", rng), options, rng, hooks))

    whole = run(Hooks(on_state=states.append))
    assert isinstance(states[0].centroids, np.ndarray)
    assert same(whole, run(Hooks(resume=states[0])))


@pytest.mark.long
def test_a_level_goes_on_from_its_last_round(device: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, config = mixture(500, 5, 40), ClusteringConfig(resampling=2, iterations=2)
    whole = fit_level(x, 20, config, seed=0, device=GPU)
    less = config.model_copy(update={"resampling": 1})
    fit_level(x, 20, less, seed=0, device=GPU, checkpoint=Checkpoint(str(tmp_path)))
    assert same(whole, fit_level(x, 20, config, seed=0, device=GPU, checkpoint=Checkpoint(str(tmp_path))))


def test_subsets_of_streamed_rows_are_those_of_rows_on_the_device(
    device: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, index = mixture(300, 4, 20), np.array([150, 5, 299, 1])
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 100 * 16)
    device.memory = 0
    streamed = prepare_rows(device, x, None, "euclidean")
    part = streamed.take(device.put(index))
    assert part.x is None
    assert np.array_equal(part.source[0:4], x[index])
    device.memory = 1 << 30
    gathered = device.get(streamed.gather(device.put(index)))
    np.testing.assert_array_equal(gathered, x[index] - streamed.frame.shift)
    assert batches.batch_size(device, 1 << 40) == batches.LEAST
    config = ClusteringConfig(resampling=1, iterations=2)
    whole = fit_level(x, 10, config, seed=0, device=GPU)
    device.memory = 0
    assert same(whole, fit_level(x, 10, config, seed=0, device=GPU))


@pytest.mark.parametrize("grouped_above", [20_000, 1000])
def test_the_nearest_of_finished_centroids_is_found(
    device: StandIn, grouped_above: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "GROUPED_ABOVE", grouped_above)
    rows = mixture(2200, 6, 300)
    index = CentroidIndex.build(rows[:1200], "euclidean", seed=0, threads=1)
    labels, squared = index.nearest(rows[1200:], device=GPU)
    expected, distances = brute(rows[1200:], rows[:1200])
    assert (labels == expected).mean() >= (1 if grouped_above > 1200 else 0.99)
    hit = labels == expected
    np.testing.assert_allclose(squared[hit], distances[hit] ** 2, rtol=1e-3, atol=1e-5)
    exact, _ = index.nearest(rows[1200:], exact=True, device=GPU)
    assert np.array_equal(exact, expected)


def test_where_there_is_no_memory_at_all_an_error_says_what_to_do(
    device: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    x = mixture(300, 4, 20)
    index = CentroidIndex.build(x[:9], "euclidean", seed=0, threads=1)
    monkeypatch.setattr(device, "put", refuse)
    with pytest.raises(ResourceError, match="too little memory for the rows") as caught:
        fit(x, 10)
    assert "clustering.memory_gib" in str(caught.value.remedy)
    with pytest.raises(ResourceError, match="to find the nearest centroids"):
        index.nearest(x, device=GPU)


def test_prices_that_never_settle_still_end(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocation, "PASSES", 1)
    assert fit(mixture(900, 5, 90), 140).inertia > 0


def test_nothing_is_moved_where_no_row_has_an_error(device: StandIn) -> None:
    x = np.repeat(mixture(4, 3), 5, axis=0)
    rows = prepare_rows(device, x, None, "euclidean")
    search = DeviceSearch(rows, Ranker(device, "float32"), None)
    centroids = rows.gather(device.put(np.array([0, 5, 10, 15])))
    labels, squared = search.rank(centroids)
    assert not search.relocate(centroids, labels, squared, np.random.default_rng(0)).size
    assert search.repair(centroids, labels) is labels
    lonely = device.put(np.concatenate([device.get(centroids), np.full((1, 3), 99, np.float32)]))
    labels, squared = search.rank(lonely)
    assert not search.reseed_empty(lonely, labels, squared).size
    assert isinstance(DeviceEngine(rows, None, "float32", 4).order, np.ndarray)


@pytest.mark.slow
def test_every_line_of_the_loop_has_run(request: pytest.FixtureRequest) -> None:
    """The last test: it holds where all before it have run."""
    LINES.skip_unless_all_ran(request)
    assert LINES.missed() == {}
