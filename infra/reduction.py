"""Merge the results of many items in a tree whose shape follows from their number alone."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import distributed
    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")
Part = TypeVar("Part")


def merge_tree(parts: Iterable[Part], merge: Callable[[Part, Part], Part]) -> Part | None:
    """Return the merge of all parts, taken one by one, None without any; at most log2(parts) + 1 are held.

    Neighbours are merged, then neighbours of those: like the carries of a binary counter.
    """
    held: list[tuple[int, Part]] = []
    for part in parts:
        size = 1
        while held and held[-1][0] == size:
            part, size = merge(held.pop()[1], part), 2 * size
        held.append((size, part))
    if not held:
        return None
    merged = held.pop()[1]
    while held:
        merged = merge(held.pop()[1], merged)
    return merged


def results_here(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int
) -> Generator[Result, None, None]:
    """Yield `function(item)` of each item, in order, in threads that take `ahead` items a thread in advance."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def reduce_here(
    function: Callable[[Item], Result], merge: Callable[[Result, Result], Result], items: Sequence[Item], threads: int
) -> Result | None:
    """Return the merge of `function(item)` over the items, computed in threads; results that wait are few."""
    return merge_tree(results_here(function, items, threads, ahead=2), merge)


def map_on(
    client: "Client", function: Callable[[Item], Result], items: Sequence[Item]
) -> "list[distributed.Future[Result]]":
    """Return a future for `function(item)` of each item.

    The function is handed over once, as the result of a task that the others take: what it holds, such as the names of
    all blocks, would else go through the driver with every item. Where a worker loses it, the scheduler makes it again.
    """
    shared = client.submit(_itself, function, pure=False)
    return list(client.map(_call, [shared] * len(items), items, pure=False))


def _itself(function: Callable[[Item], Result]) -> Callable[[Item], Result]:
    return function


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


def reduce_on(
    client: "Client",
    function: Callable[[Item], Result],
    merge: Callable[[Result, Result], Result],
    items: Sequence[Item],
) -> Result | None:
    """Return the merge of `function(item)` over the items; only the last result leaves the workers.

    Merges come before items that wait, so that few results lie on the workers at a time.
    """
    futures = deque(map_on(client, function, items))
    made = merge_tree(
        (futures.popleft() for _ in items),
        lambda left, right: client.submit(merge, left, right, pure=False, priority=1),
    )
    if made is None:
        return None
    result: Result = made.result()
    return result
