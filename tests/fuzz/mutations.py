"""Damage to a file's bytes: what transfers, disks, editors and half-written uploads do, and what attackers try."""

import random
from collections.abc import Callable, Sequence

ODD = [
    b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"\xff\xfe", b"\n", b"\r", b"\r\n", b"\n\n", b'"', b'""', b"'", b",", b"\t", b"\\", b"\\u0000", b"\\ud800",
    b"{", b"}", b"[", b"]", b"[" * 200, b'{"a":' * 120, b"null", b"NaN", b"-Infinity", b"1e999",
    b"9007199254740993", b"0" * 400, b"9" * 30, b"true", b'"id"', b'"text"', b"e\xcc\x81", b"\xe2\x80\xa8",
    b"\x1f\x8b\x08", b"PAR1", b"\x93NUMPY", b"BZh9",
]  # fmt: skip
Mutation = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def mutate(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Return a file with one to four damages; others: files to take pieces from."""
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 4))):
        draw.choice(MUTATIONS)(draw, damaged, others)
    return bytes(damaged)


def _place(draw: random.Random, content: bytearray) -> int:
    """Return a place, most often near an end, where headers and footers are."""
    if not content:
        return 0
    near = min(len(content), 64)
    kind = draw.random()
    if kind < 0.25:
        return draw.randrange(near)
    return len(content) - 1 - draw.randrange(near) if kind < 0.5 else draw.randrange(len(content))


def _flip(draw: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    if content:
        content[_place(draw, content)] ^= 1 << draw.randrange(8)


def _set(draw: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    if content:
        content[_place(draw, content)] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))


def _number(draw: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    """Put a number where perhaps a length is."""
    value = draw.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, draw.randrange(1 << 16)))
    size = draw.choice((2, 4, 8))
    at = _place(draw, content)
    content[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def _cut(draw: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    del content[_place(draw, content) :]


def _remove(draw: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    at = _place(draw, content)
    del content[at : at + draw.choice((1, 2, 4, 16, 64))]


def _repeat(draw: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    at = _place(draw, content)
    part = bytes(content[at : at + draw.choice((1, 4, 32, 256))])
    content[at:at] = part * draw.choice((1, 1, 2, 8))


def _insert(draw: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    at = _place(draw, content)
    content[at:at] = draw.choice(ODD)


def _replace(draw: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    at, odd = _place(draw, content), draw.choice(ODD)
    content[at : at + len(odd)] = odd


def _append(draw: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    content += draw.choice((draw.choice(ODD), draw.randbytes(9), b"\0" * 64, bytes(content), draw.choice(others)))


def _splice(draw: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    other = draw.choice(others)
    content[_place(draw, content) :] = other[draw.randrange(len(other) + 1) :]


def _zeros(draw: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    """Leave a hole, as a disk that is full or a download that went on elsewhere does."""
    at = _place(draw, content)
    size = min(len(content) - at, draw.choice((4, 32, 128)))
    content[at : at + size] = bytes(size)


MUTATIONS: list[Mutation] = [
    _flip, _flip, _set, _number, _cut, _remove, _repeat, _insert, _insert, _replace, _append, _splice, _zeros
]  # fmt: skip
