"""One k-means over several devices, here NumPy's arrays: it finds what one does, however the rows are parted."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from evenkeel.infra.dtypes import Float32Array, Int32Array, Int64Array
from evenkeel.infra.errors import InputError, ResourceError
from evenkeel.tasks.cluster.checkpoint import Checkpoint
from evenkeel.tasks.cluster.config import ClusteringConfig
from evenkeel.tasks.cluster.resample import fit_level, fit_rounds, opening_rng, options_of
from evenkeel.tasks.kmeans.device import grouped, opening, parts_engine
from evenkeel.tasks.kmeans.device import rows as rows_module
from evenkeel.tasks.kmeans.device.engine import DeviceEngine
from evenkeel.tasks.kmeans.device.exact import cut, exact_sums, exact_total, grid_for
from evenkeel.tasks.kmeans.device.parts import number_of
from evenkeel.tasks.kmeans.device.parts_engine import PartsEngine
from evenkeel.tasks.kmeans.device.rows import prepare_rows
from evenkeel.tasks.kmeans.fit import KMeans, finish
from evenkeel.tasks.kmeans.options import Device, FitState, Hooks, Iteration, Options, Seeding
from tests.gpu.lines import Lines
from tests.gpu.parted import PARTS, Here
from tests.gpu.standin import StandIn
from tests.kmeans.mixtures import mixture

GPU = Device(gpu=True)
FOLDER = Path(rows_module.__file__).parent
LINES = Lines(FOLDER, frozenset({path.name for path in FOLDER.glob("*.py")} - PARTS))


@pytest.fixture(autouse=True)
def followed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Note which lines a test runs."""
    with LINES.followed(request):
        yield


class Ascending(DeviceEngine):
    """One device whose rounds of resampling take rows in the order in which they are, as several devices do."""

    def nearest_members(self, centroids: Float32Array, labels: Int32Array, r: int) -> Int64Array:
        return self.rows.arrays.xp.sort(super().nearest_members(centroids, labels, r))  # type: ignore[no-any-return]


def level(engine: DeviceEngine | PartsEngine, k: int, config: ClusteringConfig, max_rows: int | None) -> KMeans:
    return fit_rounds(engine, k, config, 0, max_rows=max_rows)


def open_parts(here: Here, k: int, config: ClusteringConfig) -> PartsEngine:
    return PartsEngine.open(here, k, options_of(config), opening_rng(0), "tf32")


def check_same(found: KMeans, expected: KMeans) -> None:
    assert found.centroids.tobytes() == expected.centroids.tobytes()
    assert np.array_equal(found.labels, expected.labels)
    assert np.array_equal(found.distances, expected.distances)
    assert found.inertia == pytest.approx(expected.inertia, rel=1e-12)


CASES = {
    "exact": (25, ClusteringConfig(precision="exact", resampling=2, iterations=4), None),
    "fast": (140, ClusteringConfig(resampling=1, iterations=4), None),
    "cosine": (140, ClusteringConfig(resampling=1, iterations=6, metric="cosine"), None),
    "bounded": (140, ClusteringConfig(resampling=0, iterations=3), 12),
    "by groups": (150, ClusteringConfig(resampling=1, iterations=4), None),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name == "fast" else pytest.mark.slow) for name in CASES]
)
def test_several_devices_find_bit_for_bit_what_one_finds(
    device: StandIn, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a part of one row, one of none and one of nearly all; and nothing is kept for ever."""
    k, config, max_rows = CASES[name]
    if name == "by groups":
        monkeypatch.setattr(grouped, "LEAST_CANDIDATES", 64)
        monkeypatch.setattr(grouped, "LISTS", 8)
        monkeypatch.setattr("evenkeel.tasks.kmeans.device.engine.GROUPED_ABOVE", 100)
        monkeypatch.setattr(parts_engine, "GROUPED_ABOVE", 100)
    n = 700 if name == "fast" else 1100
    x = mixture(n, 9, 100)
    engine = DeviceEngine.open(x, k, options_of(config), opening_rng(0), None, GPU)
    expected = level(Ascending(**vars(engine)), k, config, max_rows)
    for cuts in ([1, 300, 300], [n - 20]):
        here = Here(x, cuts, monkeypatch)
        check_same(level(open_parts(here, k, config), k, config, max_rows), expected)
        here.each([None] * len(here.sizes), ())
        assert all(len(place.parts) <= 2 and len(place.parts[0].kept) <= 6 for place in here.places)


@pytest.mark.slow
def test_planted_clusters_are_found_and_inertia_is_that_of_one_device(
    device: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In rounds of resampling one device takes rows in another order, so the two agree as two seeds do."""
    rng = np.random.default_rng(1)
    member = rng.integers(0, 20, 1000)
    x = (8 * rng.standard_normal((20, 6))[member] + 0.1 * rng.standard_normal((1000, 6))).astype(np.float32)
    config = ClusteringConfig(resampling=1, iterations=5)
    found = level(open_parts(Here(x, [300, 310], monkeypatch), 20, config), 20, config, None)
    assert adjusted_rand_score(member, found.labels) == 1
    x, config = mixture(1000, 6, 100), ClusteringConfig(resampling=1, iterations=6)
    found = level(open_parts(Here(x, [300, 310], monkeypatch), 140, config), 140, config, None)
    monkeypatch.setattr(opening, "open_arrays", lambda: device)
    alone = fit_level(x, 140, config, 0, GPU)
    assert found.inertia == pytest.approx(alone.inertia, rel=0.03)
    assert adjusted_rand_score(alone.labels, found.labels) > 0.5


@pytest.mark.parametrize(("n", "d", "seeding"), [(500, 6, "auto"), (1500, 6, "auto"), (500, 24, "random")])
def test_what_travels_in_an_iteration_follows_from_the_centroids_alone(
    n: int, d: int, seeding: Seeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To and from the driver, and to and from each device: per centroid some passes of prices, and 7 x d numbers."""
    k, seen, rng = 130, [], np.random.default_rng(0)
    x = mixture(n, d, 150)
    here = Here(x, [n // 3], monkeypatch)

    def note(_: Iteration) -> None:
        devices = [(one.traffic.up, one.traffic.down) for one in here.devices]
        seen.append([here.sent / 2, here.received / 2, *np.ravel(devices)])

    engine = PartsEngine.open(here, k, Options(), rng, "tf32")
    centroids = engine.seed(k, seeding, rng)
    if seeding == "auto":
        assert here.sent + here.received <= 2 * 8 * k * (40 * d + 40 * 20), "a sample, and the seeds"
    found = engine.fit(centroids, Options(iterations=4, tolerance=0), rng, Hooks(note))
    each = np.diff(np.array(seen), axis=0)
    assert len(each) == 3
    assert each.max() <= k * (200 + 7 * 4 * d) + 2048
    assert sum(one.traffic.up for one in here.devices) >= x.nbytes
    received = here.received
    finish(engine, found)
    assert here.received - received <= 8 * n + 100, "labels and distances"


def test_a_fit_that_was_cut_off_ends_as_if_it_had_not_been(monkeypatch: pytest.MonkeyPatch) -> None:
    x, options, states = mixture(500, 5, 60), Options(iterations=7, tolerance=0), list[FitState]()
    for k in (20, 150):

        def run(hooks: Hooks, k: int = k) -> KMeans:
            rng = np.random.default_rng(4)
            engine = PartsEngine.open(Here(x, [200], monkeypatch), k, options, rng, "tf32")
            return finish(engine, engine.fit(engine.seed(k, "auto", rng), options, rng, hooks))

        whole = run(Hooks(on_state=states.append))
        assert isinstance(states[-1].labels, np.ndarray)
        check_same(run(Hooks(resume=states[-1])), whole)


def test_the_nearest_row_of_each_cluster_is_found_where_none_is_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    x = 100 * mixture(60, 4, 6)
    engine = PartsEngine.open(Here(x, [1, 40], monkeypatch), 3, Options(), opening_rng(0), "tf32")
    centroids = engine.start(x[:3] + 50)
    labels = engine._search().assign(centroids)
    squared = ((x[:, None] - x[:3] - 50) ** 2).sum(axis=2)
    assert np.array_equal(engine.home(labels), squared.argmin(axis=1))
    index = engine.nearest_members(centroids, labels, 1)
    found = engine.parts.each("get", number_of(index))
    nearest = [np.flatnonzero(squared.argmin(axis=1) == one) for one in range(3)]
    expected = sorted(int(rows[squared[rows, one].argmin()]) for one, rows in enumerate(nearest) if len(rows))
    assert engine.parts.global_rows(found).tolist() == expected


@pytest.mark.slow
def test_a_level_goes_on_from_its_last_round_with_other_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, config = mixture(400, 5, 40), ClusteringConfig(resampling=2, iterations=2)
    whole = level(open_parts(Here(x, [150], monkeypatch), 20, config), 20, config, None)
    less = config.model_copy(update={"resampling": 1})
    saved = Checkpoint(str(tmp_path))
    fit_rounds(open_parts(Here(x, [150], monkeypatch), 20, config), 20, less, 0, checkpoint=saved)
    again = fit_rounds(open_parts(Here(x, [30, 60], monkeypatch), 20, config), 20, config, 0, checkpoint=saved)
    check_same(again, whole)


def test_more_clusters_than_distinct_rows_gives_the_distinct_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.repeat(mixture(12, 4), 30, axis=0)
    options, rng = Options(iterations=4), np.random.default_rng(0)
    engine = PartsEngine.open(Here(x, [100], monkeypatch), 200, options, rng, "tf32")
    found = finish(engine, engine.fit(engine.seed(200, "auto", rng), options, rng))
    assert len(found.centroids) == 12
    assert found.inertia <= 1e-8
    equal = PartsEngine.open(Here(x[:30], [10], monkeypatch), 5, options, rng, "tf32")
    assert finish(equal, equal.fit(equal.seed(5, "auto", rng), options, rng)).inertia == 0


def test_empty_clusters_are_put_on_the_farthest_rows(device: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    x, far = mixture(400, 5, 40), np.full((3, 5), 50, np.float32)
    first = np.concatenate([x[:10], far, far + 1, far + 2])
    for options in (Options(iterations=2), Options(iterations=2, metric="cosine")):
        found = []
        for engine in (
            DeviceEngine.open(x, 19, options, opening_rng(0), None, GPU),
            PartsEngine.open(Here(x, [150, 390], monkeypatch), 19, options, opening_rng(0), "tf32"),
        ):
            found.append(finish(engine, engine.fit(engine.start(first), options, opening_rng(0))))
        check_same(found[1], found[0])
        assert len(found[0].centroids) > 13


def test_nothing_is_moved_where_no_row_has_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.repeat(mixture(4, 3), 5, axis=0)
    engine = PartsEngine.open(Here(x, [7], monkeypatch), 4, Options(), opening_rng(0), "tf32")
    search, centroids = engine._search(), engine.start(x[::5])
    labels, squared = search.rank(centroids)
    assert not search.relocate(centroids, labels, squared, opening_rng(0)).size
    assert search.repair(centroids, labels) is labels
    lonely = np.concatenate([centroids, np.full((1, 3), 99, np.float32)])
    labels, squared = search.rank(lonely)
    assert not search.reseed_empty(lonely, labels, squared).size
    assert search.count_changed(labels, None) == 20


@pytest.mark.parametrize("bad", [np.nan, np.inf, 7e38])
def test_rows_that_cannot_be_clustered_are_named(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    x = mixture(50, 3).astype(np.float64)
    x[37, 1] = bad
    with pytest.raises(InputError, match="row 37"):
        PartsEngine.open(Here(x, [20], monkeypatch), 2, Options(), opening_rng(0), "tf32")
    flat = mixture(50, 3)
    flat[[41, 47]] = 0
    with pytest.raises(InputError, match="row 41"):
        PartsEngine.open(Here(flat, [20], monkeypatch), 3, Options(metric="cosine"), opening_rng(0), "tf32")


def test_rows_that_do_not_fit_a_device_are_read_where_they_lie(
    device: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, options = mixture(400, 5, 40), Options(iterations=2)
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 64 * 20)

    def run(memory: int) -> KMeans:
        here = Here(x, [150], monkeypatch, memory)
        engine = PartsEngine.open(here, 20, options, opening_rng(0), "tf32")
        return finish(engine, engine.fit(engine.seed(20, "auto", opening_rng(0)), options, opening_rng(0)))

    check_same(run(0), run(1 << 30))


def test_too_little_memory_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(mixture(300, 4, 20), [100], monkeypatch)
    engine = PartsEngine.open(here, 10, Options(), opening_rng(0), "tf32")
    here.devices[1].refuse = 100
    with pytest.raises(ResourceError, match=r"too little memory(.|\n)*memory_gib"):
        engine.fit(engine.seed(10, "random", opening_rng(0)), Options(), opening_rng(0))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e9])
def test_sums_are_the_same_in_any_order_and_all_but_exact(device: StandIn, scale: float) -> None:
    rng = np.random.default_rng(3)
    values = (scale * np.exp(4 * rng.standard_normal(5000)) * rng.choice([-1, 1], 5000)).astype(np.float32)
    grid = grid_for(float(np.abs(values).max()), len(values))
    parts = cut(device, device.put(values), grid)
    assert (np.abs(sum(device.get(one).astype(np.float64) for one in parts) - values) <= grid.fine / 2).all()

    def total(order: Int64Array, cuts: Sequence[int]) -> list[float]:
        pieces = [exact_total(device, device.put(one), grid) for one in np.split(values[order], list(cuts))]
        return np.sum(pieces, axis=0).tolist()  # type: ignore[no-any-return]

    first = total(np.arange(5000), [])
    assert first == total(rng.permutation(5000), [7, 4000])
    assert sum(first) == pytest.approx(math.fsum(values.tolist()), abs=5000 * grid.fine + 1e-12 * abs(sum(first)))
    x, labels = values.reshape(-1, 4), rng.integers(0, 7, 1250).astype(np.int32)
    rows = replace(prepare_rows(device, x, None, "euclidean"), x=device.put(x))
    sums, counts = exact_sums(rows, device.put(labels), 7, grid)
    backwards, _ = exact_sums(replace(rows, x=device.put(x[::-1])), device.put(labels[::-1]), 7, grid)
    assert np.array_equal(sums, backwards)
    assert np.array_equal(counts, np.bincount(labels, minlength=7))
    assert np.isclose(sums.sum(axis=0)[2, 1], math.fsum(x[labels == 2, 1].tolist()), rtol=1e-9)


@pytest.mark.slow
def test_every_line_has_run(request: pytest.FixtureRequest) -> None:
    """The last test: it holds where all before it have run."""
    LINES.skip_unless_all_ran(request)
    assert LINES.missed() == {}
