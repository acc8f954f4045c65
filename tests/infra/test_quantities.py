"""Sizes and durations are told in the units that people think in."""

import pytest

from evenkeel.infra.quantities import duration, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 seconds"),
        (95, "95 seconds"),
        (3599, "1 hour"),
        (8640, "2 hours and 24 minutes"),
        (90_000, "1 day and 1 hour"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(12, "12 Bytes"), (1500, "1.5 kB"), (268.4e6, "268.4 MB")])
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text
