"""A pool of four times the blocks takes four times the tasks, and hardly more of the driver's memory."""

import pytest

from tests.bench.bench_blocks import REST, Spent, measure

FEW, MANY = 100, 400
BYTES_PER_BLOCK = 400_000  # 8 rows more; the probe of a partition grows with rows until it is full


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_tasks_messages_and_memory_grow_with_blocks_and_not_with_their_square() -> None:
    measure(40)  # machine code that is not on disk yet is compiled, which takes memory
    few, many = measure(FEW), measure(MANY)
    assert many["read"] == 4 * few["read"]
    assert set(few["steps"]) == set(many["steps"])
    cpu = {}
    for name, found in many["steps"].items():
        before, after = Spent(**few["steps"][name]), Spent(**found)
        assert after.tasks <= 4 * before.tasks + 10, name
        assert after.tasks <= 11 * MANY, name
        assert after.sent <= 4 * before.sent + 3e6, name
        assert after.largest <= 1e6 + 200 * MANY, name
        assert after.peak <= before.peak + BYTES_PER_BLOCK * (MANY - FEW), name
        cpu[name] = after.cpu - 5 * before.cpu
    assert sum(seconds for name, seconds in cpu.items() if name != REST) <= 0, cpu
