"""Sizes and durations as people read them."""

from humanize import naturalsize, precisedelta


def size(count: float) -> str:
    """Return a number of bytes as text, such as "1.5 GB"."""
    return naturalsize(count)


def count(number: int, noun: str) -> str:
    """Return so many things as text, such as "1 shard" or "1,200 shards"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """Return a number of seconds as text, such as "95 seconds" or "2 hours and 24 minutes"."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return precisedelta(seconds, minimum_unit="minutes", format="%.0f")
