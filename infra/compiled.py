"""Numba's compiler, with the types of what it compiles kept."""

from collections.abc import Callable
from typing import TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a loop on first use, keep the machine code on disk, and release the interpreter lock while it runs."""
    done: Function = numba.njit(nogil=True, cache=True)(function)
    return done


def inlined(function: Function) -> Function:
    """Compile a function as part of every loop that calls it."""
    done: Function = numba.njit(nogil=True, cache=True, inline="always")(function)
    return done
