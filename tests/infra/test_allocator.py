"""Memory that many small allocations leave between others goes back to the system."""

import sys

import psutil
import pytest

from evenkeel.infra import allocator


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_what_lies_between_others_is_given_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_after", 0)
    process = psutil.Process()
    held = [bytes(3000) for _ in range(40_000)]
    few = held[::20]
    del held
    before = process.memory_info().rss
    assert allocator.give_back()
    assert process.memory_info().rss < before - (50 << 20)
    assert not allocator.give_back()
    assert len(few) == 2000
