"""Where the work of a step runs: in this process, or on a Dask cluster chosen by name."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Backend = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Compute:
    """A place to run functions. `client` is a `distributed.Client`, or None for this process.

    backend: "cpu" (numpy, pandas) or "gpu" (cupy, cudf). memory_limit: bytes one worker may use.
    The default Compute() runs everything in this process, with threads where asked.
    """

    name: str = "inline"
    backend: Backend = "cpu"
    workers: int = 1
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    memory_limit: int = 2 << 30
    client: Any = None

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Result]:
        """Return `[function(item) for item in items]`, in order, computed on the workers.

        `function` is a module-level function or a functools.partial of one; items and results are small (paths, names,
        sums), never blocks of data. `on_done(count)` is told how many have finished. A failure is raised as it was.
        """
        if self.client is None:
            return self._map_here(function, items, on_done)
        from distributed import as_completed

        futures = self.client.map(function, items, pure=False, retries=2)
        for count, future in enumerate(as_completed(futures), start=1):
            if future.status == "error":
                self.client.cancel(futures)
                future.result()
            if on_done is not None:
                on_done(count)
        results: list[Result] = self.client.gather(futures)
        return results

    def _map_here(
        self, function: Callable[[Item], Result], items: Iterable[Item], on_done: Callable[[int], None] | None
    ) -> list[Result]:
        results: list[Result] = []
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            for count, result in enumerate(pool.map(function, items), start=1):
                results.append(result)
                if on_done is not None:
                    on_done(count)
        return results
