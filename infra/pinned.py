"""Objects that stay on Dask workers: each lies in one worker's memory and is worked on there, call by call.

A call goes to the workers directly and not by way of the scheduler's tasks: it takes milliseconds, and is neither moved
nor repeated. What comes home is small, or merged by tasks on the workers. A worker that ends takes its object with it;
then every call ends with WorkersLost, where Dask would wait for ever for a task that only this worker may do.
"""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from evenkeel.infra.errors import ResourceError
from evenkeel.infra.reduction import merge_tree

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

LOOK_EVERY = 2.0  # seconds between two looks at whether all workers are there
PAUSED = 60.0  # seconds that a worker which takes no task for want of memory is waited for
LOOKS = 50  # after a connection broke, until it counts as an error of its own
LOOK_AGAIN = 0.2  # seconds between these
LARGE = 1 << 20  # bytes of what workers are given each, above which none is sent that of others


class WorkersLost(Exception):
    """A worker that held an object is gone."""


class Held:
    """An object in the memory of a worker. It is not to be copied: Dask can neither spill nor move it."""

    def __init__(self, name: str, made: Any) -> None:
        self.made, self.adopted = made, False
        _held[name] = self

    def do(self, function: Callable[..., Any], item: Any, shared: tuple[Any, ...]) -> Any:
        """Return `function(object, item, shared)`, once nothing else is worked on.

        Raises WorkersLost for an object that Dask has made anew: what was done to the former one is lost.
        """
        with _one_at_a_time:
            if function is _adopt:
                self.adopted = True
                return None
            if not self.adopted:
                raise WorkersLost("a worker began anew")
            return function(self.made, item, shared)

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Refuse to be copied."""
        raise TypeError("what a worker holds stays there")


_held: "WeakValueDictionary[str, Held]" = WeakValueDictionary()
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Given:
    """What a call is given, as one thing that Dask does not look into."""

    value: Any


class Pinned:
    """An object on each of some workers, by their addresses; to be closed when it is not needed any more."""

    def __init__(self, client: "Client", addresses: Sequence[str]) -> None:
        self.client, self.addresses = client, list(addresses)
        self._names = [uuid.uuid4().hex for _ in self.addresses]
        self._held: list[Future] = []
        self._callers = ThreadPoolExecutor(len(self.addresses))
        self._paused: float | None = None

    def make(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        """Have each worker hold `function(item)` of its item. Raises what it raises, and WorkersLost."""
        for at, item in enumerate(items):
            self._held.append(self._submit(at, _hold, self._names[at], function, Given(item)))
        self._wait(self._held)
        self.each(_adopt, items)

    def each(
        self, function: Callable[..., Any], items: Sequence[Any | None], shared: tuple[Any, ...] = ()
    ) -> list[Any]:
        """Return `function(object, item, shared)` of each worker, in order; those whose item is None are left out."""
        asked = {self.addresses[at]: (self._names[at], item) for at, item in enumerate(items) if item is not None}
        large = len(asked) > 1 and sum(_bytes_of(item) for _, item in asked.values()) > LARGE
        batches = [{one: given} for one, given in asked.items()] if large else [asked]
        calls = [self._callers.submit(self._run, function, batch, shared) for batch in batches]
        found: dict[str, Any] = {}
        for call in calls:
            found |= self._guarded(call.result, call.done)
        return [found[address] for address in asked]

    def merge(
        self,
        function: Callable[..., Any],
        items: Sequence[Any | None],
        shared: tuple[Any, ...],
        merge: Callable[[Any, Any], Any],
    ) -> Any:
        """Return what `each` returns, merged in pairs on the workers; the last result alone comes home."""
        given = Given(shared)
        futures = [
            self._submit(at, _call, function, self._held[at], Given(item), given)
            for at, item in enumerate(items)
            if item is not None
        ]
        running = list(futures)

        def merged(left: "Future", right: "Future") -> "Future":
            running.append(self.client.submit(merge, left, right, pure=False))
            return running[-1]

        last = merge_tree(futures, merged)
        assert last is not None
        self._wait(running)
        return self._guarded(last.result, lambda: last.status == "error")

    def close(self) -> None:
        """Let the objects go; what works on one still keeps it until it is done."""
        self._callers.shutdown(wait=False)
        with suppress(Exception):  # a cluster that broke holds nothing
            self.client.cancel(self._held, force=True)
        self._held = []

    def _run(
        self, function: Callable[..., Any], given: Mapping[str, tuple[str, Any]], shared: tuple[Any, ...]
    ) -> dict[str, Any]:
        """Call the function on the workers of some addresses, given the name of the object of each, and its item."""
        found: dict[str, Any] = self.client.run(_called, function, given, shared, workers=list(given))
        return found

    def _submit(self, at: int, function: Callable[..., Any], *arguments: Any) -> "Future":
        workers = [self.addresses[at]]
        return self.client.submit(function, *arguments, workers=workers, allow_other_workers=False, pure=False)

    def _wait(self, futures: "list[Future]") -> None:
        """Wait until all tasks are done. Raises what the first that failed raises, and WorkersLost."""
        from distributed import wait

        self._paused = None
        self._guarded(partial(wait, futures), self._require_memory)
        for future in futures:
            if future.status != "finished":
                self._guarded(future.result, lambda: True)

    def _guarded(self, work: Callable[..., Any], failed: Callable[[], bool] = lambda: False) -> Any:
        """Return `work(timeout=...)`, called until it is done, or raise its error; WorkersLost once a worker is gone.

        failed: tells whether the work is done, so that the next call does not wait and its TimeoutError is the work's
        own; it may raise another.
        """
        patience, done = LOOK_EVERY, False
        while True:
            try:
                return work(timeout=patience)
            except TimeoutError:
                self._require_all()
                if done:
                    raise
                done = failed()
                patience *= 2  # what has come of a large result by then is fetched again
            except OSError:  # a connection broke: the scheduler may not know yet that the worker is gone
                for _ in range(LOOKS):
                    self._require_all()
                    time.sleep(LOOK_AGAIN)
                raise
            except (Exception, asyncio.CancelledError):
                self._require_all()
                raise

    def _require_all(self) -> None:
        """Raise WorkersLost where a worker is gone."""
        lost = set(self.addresses) - set(self.client.nthreads())
        if lost:
            raise WorkersLost(f"{len(lost)} of {len(self.addresses)} workers ended: {', '.join(sorted(lost))}")

    def _require_memory(self) -> bool:
        """Raise ResourceError where a worker has taken no task for a minute, as Dask's do with too little memory."""
        found = self.client.scheduler_info()["workers"]
        paused = [one for one in self.addresses if one in found and found[one]["status"] == "paused"]
        if not paused:
            self._paused = None
        elif self._paused is None:
            self._paused = time.monotonic()
        elif time.monotonic() > self._paused + PAUSED:
            raise ResourceError(
                "a worker has too little memory to go on",
                expected="less than 80 % of its limit taken",
                found=f"paused: {', '.join(paused)}",
                where="compute",
                remedy="give workers more memory in the cluster's file, or lower clustering.memory_gib",
            )
        return False


def workers_of(client: "Client", least: int, patience: float) -> list[str]:
    """Return the addresses of the workers, sorted, once there are as many as `least`. Raises ResourceError."""
    try:
        client.wait_for_workers(least, timeout=patience)
    except TimeoutError:
        raise ResourceError(
            "too few workers with a device are there",
            expected=f"{least}, which together hold the rows",
            found=f"{len(client.nthreads())} after {patience:g} seconds",
            where="compute",
            remedy="start more workers, or lower clustering.memory_gib so that the rows are split into more groups",
        ) from None
    return sorted(client.nthreads())


def _hold(name: str, function: Callable[[Any], Any], item: Given) -> Held:
    with _one_at_a_time:  # after what may work on an object that is to be let go
        return Held(name, function(item.value))


def _call(function: Callable[..., Any], held: Held, item: Given, shared: Given) -> Any:
    return held.do(function, item.value, shared.value)


def _adopt(made: Any, item: Any, shared: tuple[Any, ...]) -> None:
    """Mark what has been made as the one that calls work on, see `Held.do`."""


async def _called(
    function: Callable[..., Any],
    given: Mapping[str, tuple[str, Any]],
    shared: tuple[Any, ...],
    dask_worker: "Worker",
) -> Any:
    """Do as `_call` does on a thread of the worker, whose event loop goes on."""
    name, item = given[dask_worker.address]
    if (held := _held.get(name)) is None:
        raise WorkersLost("a worker has lost what it held")
    work = partial(held.do, function, item, shared)
    return await asyncio.get_running_loop().run_in_executor(dask_worker.executors["default"], work)


def _bytes_of(value: Any) -> int:
    """Return the bytes of arrays in tuples."""
    return sum(map(_bytes_of, value)) if isinstance(value, tuple) else int(getattr(value, "nbytes", 0))
