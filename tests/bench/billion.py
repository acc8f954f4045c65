"""From measured rates to what a billion rows cost: hours of processors, bytes, operations on files, memory, money.

A `Rate` is what a million rows more take, from the difference of two sizes, so that what is fixed is not counted. A
`Cost` is what a step takes in all. Money is a list price, which changes: `PRICES` says of what and when.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

HOUR = 3600.0
WORKERS, CORES = 64, 16
BYTES_PER_SECOND = 1e9  # that a worker reads or writes at best: an assumption, not measured


@dataclass(frozen=True)
class Prices:
    """List prices in US dollars, on demand.

    vcpu_hour: Linux, m7g, 4 GiB to a vCPU. gpu_hour: an H200 of a large provider, the upper end of what is quoted.
    gb_month: of objects in S3 Standard. put, get: for one request.
    """

    vcpu_hour: float = 0.0408
    gpu_hour: float = 7.0
    gb_month: float = 0.023
    put: float = 0.005 / 1000
    get: float = 0.0004 / 1000
    source: str = "AWS us-east-1 on demand, as quoted by others in 2026"


PRICES = Prices()


@dataclass(frozen=True)
class DeviceRates:
    """What a device did, as `bench_gpu` measured it.

    machine: which one. ranking: floating-point operations a second of ranking rows that lie on it. fit: seconds of one
    k-means of `rows` x `dimension` into `clusters`, copies included.
    """

    machine: str
    ranking: float
    fit: float
    rows: int = 200_000
    dimension: int = 384
    clusters: int = 5_000

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "DeviceRates":
        """Return the rates among the figures of docs/performance/gpu.json."""
        fit = found[f"{cls.rows:,} x {cls.dimension}, k = {cls.clusters:,}: evenkeel"][1]
        return cls(found["machine"].partition(",")[0], found["rates"]["ranking, tf32"] * 1e12, fit)

    def compare(self, rows: float, centroids: float, dimension: int) -> float:
        """Return the seconds of comparing every row with every centroid, rows being on the device."""
        return 2 * rows * centroids * dimension / self.ranking

    def k_means(self, rows: float, clusters: float, dimension: int) -> float:
        """Return at most the seconds of one k-means: those measured, grown by numbers or by products."""
        numbers = rows * dimension / (self.rows * self.dimension)
        return self.fit * numbers * max(1.0, clusters / self.clusters)


@dataclass(frozen=True)
class Cost:
    """What a step takes: CPU-seconds of workers and of the driver, bytes, requests, bytes of memory of the driver.

    threads: of the driver that its seconds are spread over, on average. memory: None = not measured.
    """

    worker: float = 0.0
    driver: float = 0.0
    read: float = 0.0
    written: float = 0.0
    gets: float = 0.0
    puts: float = 0.0
    threads: float = 1.0
    memory: float | None = None

    def __add__(self, other: "Cost") -> "Cost":
        """Return the cost of both, one after the other."""
        held = [one.memory for one in (self, other) if one.memory is not None]
        waited = self.driver / self.threads + other.driver / other.threads
        driver = self.driver + other.driver
        return Cost(
            self.worker + other.worker,
            driver,
            self.read + other.read,
            self.written + other.written,
            self.gets + other.gets,
            self.puts + other.puts,
            driver / waited if waited else 1.0,
            max(held, default=None),
        )

    def __mul__(self, times: float) -> "Cost":
        """Return the cost of so many times the work; memory stays."""
        done = {name: getattr(self, name) * times for name in ("worker", "driver", "read", "written", "gets", "puts")}
        return replace(self, **done)

    @property
    def cpu_hours(self) -> float:
        """Hours of one core, of all processes."""
        return (self.worker + self.driver) / HOUR

    def wall_hours(self, workers: int = WORKERS, cores: int = CORES) -> float:
        """Return the hours that it takes at least: the cores of all workers, or their bytes, then the driver alone."""
        moved = (self.read + self.written) / (workers * BYTES_PER_SECOND)
        return (max(self.worker / (workers * cores), moved) + self.driver / self.threads) / HOUR

    def dollars(self, prices: Prices = PRICES) -> float:
        """Return the price of the CPU-hours and of the requests."""
        return self.cpu_hours * prices.vcpu_hour + self.gets * prices.get + self.puts * prices.put


def rate(few: Mapping[str, Any], many: Mapping[str, Any], rows: tuple[int, int], blocks: tuple[int, int]) -> Cost:
    """Return what a row more takes, from what a step took of two sizes; of requests what a block more takes.

    few, many: as `rates_meter.Taken`. What did not grow is 0, not less.
    """

    def grown(take: Any, by: tuple[int, int]) -> float:
        return float(max(0.0, (take(many) - take(few)) / (by[1] - by[0])))

    def of_workers(one: Mapping[str, Any]) -> float:
        return float(sum(one["maps"].values()))

    worker = grown(of_workers, rows)
    return Cost(
        worker=worker,
        driver=max(0.0, grown(lambda one: one["cpu"], rows) - worker),
        read=grown(lambda one: one["read"], rows),
        written=grown(lambda one: one["written"], rows),
        gets=grown(lambda one: one["operations"] - one["writes"], blocks),
        puts=grown(lambda one: one["writes"], blocks),
    )


def at(one: Cost, rows: float, blocks: float) -> Cost:
    """Return the cost of so many rows in so many blocks, given that of a row and the requests of a block."""
    return replace(one * rows, gets=one.gets * blocks, puts=one.puts * blocks)


def through_root(few: tuple[float, float], many: tuple[float, float], size: float) -> float:
    """Return a + b sqrt(size), by two measured (size, value)."""
    slope = (many[1] - few[1]) / (many[0] ** 0.5 - few[0] ** 0.5)
    return float(max(0.0, few[1] - slope * few[0] ** 0.5) + slope * size**0.5)


def power_and_line(few: tuple[float, float], many: tuple[float, float], size: float) -> float:
    """Return a size + b size^1.5, by two measured (size, value); neither part is negative."""
    low, high = few[1] / few[0], many[1] / many[0]
    slope = max(0.0, (high - low) / (many[0] ** 0.5 - few[0] ** 0.5))
    return float(size * (max(0.0, high - slope * many[0] ** 0.5) + slope * size**0.5))
