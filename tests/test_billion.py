"""A known rate gives a known cost, and the table of a billion rows in the docs is that of the kept measurements."""

import json

import pytest

from tests.bench.bench_rates import BILLION, RESULTS, SCALE, device_rates
from tests.bench.billion import Cost, DeviceRates, Prices, at, power_and_line, rate, through_root
from tests.bench.rates_at_scale import Shape
from tests.bench.rates_page import TEXTS_ONLY, VECTORS_FIRST, held_at_most, lines_of, remembered, table, total

FEW = {"cpu": 3.0, "maps": {"a": 1.0}, "read": 5_000, "written": 900, "operations": 40, "writes": 10}
MANY = {"cpu": 11.0, "maps": {"a": 4.0, "b": 1.0}, "read": 35_000, "written": 400, "operations": 130, "writes": 40}


def test_a_rate_is_what_grew_and_scales_to_a_known_cost() -> None:
    one = rate(FEW, MANY, (1_000, 5_000), (1, 4))
    assert one == Cost(worker=0.001, driver=0.001, read=7.5, written=0.0, gets=20.0, puts=10.0)
    cost = at(one, 1e9, 15_000)
    assert (cost.worker, cost.driver, cost.read) == (1e6, 1e6, 7.5e9)
    assert (cost.gets, cost.puts) == (300_000, 150_000)
    prices = Prices(vcpu_hour=0.05, put=5e-6, get=4e-7)
    assert cost.dollars(prices) == pytest.approx(2e6 / 3600 * 0.05 + 300_000 * 4e-7 + 150_000 * 5e-6)
    assert cost.wall_hours(workers=64, cores=16) == pytest.approx((1e6 / 1024 + 1e6) / 3600)
    assert Cost(read=64e9 * 3600).wall_hours(workers=64) == pytest.approx(1.0)


def test_costs_add_up_and_the_driver_waits_for_its_own_threads() -> None:
    both = Cost(worker=7.0, driver=16.0, threads=16, memory=3.0) + Cost(driver=2.0, memory=5.0)
    assert (both.worker, both.driver, both.memory) == (7.0, 18.0, 5.0)
    assert both.wall_hours() == pytest.approx((7 / 1024 + 1 + 2) / 3600)
    assert (Cost(worker=2.0, gets=3.0, memory=9.0) * 2) == Cost(worker=4.0, gets=6.0, memory=9.0)


def test_seconds_of_a_device_are_those_measured_and_grow_with_the_work() -> None:
    figures = {"machine": "A100, 16 cores", "rates": {"ranking, tf32": 50.0}}
    device = DeviceRates.of(figures | {"200,000 x 384, k = 5,000: evenkeel": [1.0, 0.3]})
    assert (device.machine, device.fit) == ("A100", 0.3)
    assert device.compare(1e6, 1e3, 250) == pytest.approx(0.01)
    assert device.k_means(200_000, 5_000, 384) == pytest.approx(0.3)
    assert device.k_means(400_000, 1_000, 384) == pytest.approx(0.6)  # fewer clusters: the same rows go there
    assert device.k_means(200_000, 10_000, 384) == pytest.approx(0.6)


def test_laws_go_through_what_was_measured() -> None:
    def root(size: float) -> float:
        return float(2 + 3 * size**0.5)

    def power(size: float) -> float:
        return float(2 * size + 0.5 * size**1.5)

    few, many = 100.0, 10_000.0
    assert through_root((few, root(few)), (many, root(many)), 1e6) == pytest.approx(root(1e6))
    assert power_and_line((few, power(few)), (many, power(many)), 1e6) == pytest.approx(power(1e6))
    assert power_and_line((few, 200.0), (many, 15_000.0), 1e6) == pytest.approx(1.5e6)


def test_a_billion_rows_have_the_groups_leaves_and_cells_of_the_code() -> None:
    shape = Shape.of(BILLION, 768)
    assert shape.leaves == 10_000_000
    assert shape.groups * shape.group_rows == pytest.approx(BILLION, rel=1e-4)
    assert shape.cells == 31_622


def test_the_page_holds_the_table_of_the_measurements() -> None:
    found = json.loads(RESULTS.read_text())
    lines = lines_of(found, Shape.of(BILLION, found["dimension"]), device_rates())
    page = SCALE.read_text().splitlines()
    assert [line for line in table(lines) if line not in page] == []
    assert total(lines).cpu_hours == pytest.approx(sum(line.cost.cpu_hours for line in lines))


def test_the_driver_holds_at_most_what_goes_on_in_a_line_from_the_first_pool_that_took_the_step() -> None:
    peaks = {
        "narrow-vectors-10": {"ingest": [400]},
        "narrow-vectors-40": {"ingest": [700]},
        "narrow-texts-10": {"ingest": [420, 300], "dedup near": [500, 460]},
        "narrow-texts-40": {"ingest": [900, 800], "dedup near": [440, 450]},
    }
    found = {"sizes": {"narrow-vectors": [10, 40], "narrow-texts": [10, 40]}, "peaks": peaks}
    assert held_at_most(found, "narrow-texts", "ingest", 100) == 900 + 20 * 60
    assert held_at_most(found, "narrow-texts", "dedup near", 1e9) == 450  # what did not grow is not less
    assert held_at_most(found, "narrow-vectors", "dedup near", 100) is None
    assert held_at_most(found, "narrow-groups", "cluster sort", 100) is None
    assert [remembered(Cost(), found, "ingest", 100, *pools).memory for pools in (VECTORS_FIRST, TEXTS_ONLY)] == [
        700 + 10 * 60,
        900 + 20 * 60,
    ]
    assert remembered(Cost(memory=50.0), found, "dedup near", 100, *VECTORS_FIRST).memory == 450 + 50
    assert remembered(Cost(memory=50.0), found, "thin", 100, *VECTORS_FIRST).memory == 50
