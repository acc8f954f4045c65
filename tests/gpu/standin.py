"""NumPy in CuPy's place: arrays that refuse to meet those of the host, and copies that are counted.

As with CuPy, an operation on a device array and a host array of more than 0 dimensions is an error, NumPy's own
functions are not for device arrays, reductions give arrays of no dimension, and only names that CuPy has are there.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evenkeel.tasks.kmeans.device.arrays import Seen
from tests.gpu import reference
from tests.gpu.emulator import Emulated, emulated

# Every one of them is in CuPy, with these arguments.
NAMES = frozenset(
    [
        "abs",
        "arange",
        "argmin",
        "argsort",
        "ascontiguousarray",
        "bincount",
        "bool_",
        "ceil",
        "cumsum",
        "diff",
        "empty",
        "empty_like",
        "exp",
        "flatnonzero",
        "float32",
        "float64",
        "full",
        "int32",
        "int64",
        "isfinite",
        "log",
        "maximum",
        "minimum",
        "rint",
        "ones",
        "searchsorted",
        "sort",
        "sqrt",
        "uint32",
        "uint64",
        "uint8",
        "where",
        "zeros",
    ]
)
TRUNCATED = np.uint32(0xFFFFE000)


@dataclass
class Traffic:
    """Bytes that went to the device and came home, and how often."""

    up: int = 0
    down: int = 0
    copies: list[int] = field(default_factory=list)


class DeviceArray(np.ndarray):
    """An array of the stand-in's device."""

    traffic: Traffic

    def __array_finalize__(self, source: Any) -> None:
        self.traffic = getattr(source, "traffic", None) or Traffic()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        assert out is None or all(isinstance(one, DeviceArray) for one in out), "a device result in a host array"
        assert all(_may_meet(one) for one in inputs), f"{ufunc.__name__} of a device array and a host array"
        plain = {} if out is None else {"out": tuple(one.view(np.ndarray) for one in out)}
        with np.errstate(invalid="raise"):
            return _wrap(getattr(ufunc, method)(*map(_plain, inputs), **plain, **options), self.traffic)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy's {function.__name__} was called with a device array: use the namespace")

    def __getitem__(self, index: Any) -> Any:
        assert all(_may_meet(one) for one in (index if isinstance(index, tuple) else (index,)))
        return _wrap(self.view(np.ndarray)[_plain(index)], self.traffic)

    def __setitem__(self, index: Any, value: Any) -> None:
        assert all(_may_meet(one) for one in (index if isinstance(index, tuple) else (index,)))
        assert _may_meet(value), "a host array was put into a device array"
        self.view(np.ndarray)[_plain(index)] = _plain(value)

    def __float__(self) -> float:
        return float(self._home())

    def __int__(self) -> int:
        return int(self._home())

    def __bool__(self) -> bool:
        return bool(self._home())

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("a device array was walked through")

    def _home(self) -> Any:
        assert self.size == 1
        self.traffic.down += self.nbytes
        return self.view(np.ndarray).item()


def _reduction(name: str) -> Callable[..., Any]:
    def reduce(self: DeviceArray, *args: Any, **options: Any) -> Any:
        return _wrap(getattr(self.view(np.ndarray), name)(*args, **options), self.traffic)

    return reduce


for _name in ("sum", "max", "min", "all", "any", "astype", "reshape", "copy", "argmin", "argmax", "view"):
    if _name != "view":
        setattr(DeviceArray, _name, _reduction(_name))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return np.ndarray.view(value, np.ndarray) if isinstance(value, DeviceArray) else value


def _may_meet(value: Any) -> bool:
    """Return whether a device array may be combined with it: device arrays and plain numbers."""
    return isinstance(value, DeviceArray) or not isinstance(value, np.ndarray) or value.ndim == 0


def _wrap(value: Any, traffic: Traffic) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        found = np.asarray(value).view(DeviceArray)
        found.traffic = traffic
        return found
    return value


class Namespace:
    """Functions that NumPy and CuPy share, on device arrays."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic

    def RawModule(self, code: str, options: tuple[str, ...]) -> Emulated:
        assert options == ("--std=c++17",)
        return emulated(code)

    def __getattr__(self, name: str) -> Any:
        if name not in NAMES:
            raise AttributeError(f"{name}: is it in CuPy, with the same arguments? Then add it to NAMES")
        found = getattr(np, name)
        if isinstance(found, type):
            return found

        @functools.wraps(found)
        def call(*args: Any, **options: Any) -> Any:
            assert all(map(_may_meet, (*args, *options.values()))), f"{name} of a host array"
            assert name != "bincount" or len(args[0]), "CuPy 14.1 and before refuse to count an empty array"
            if name == "flatnonzero":
                self.traffic.down += 8  # its length comes home
            plain = {key: _plain(value) for key, value in options.items()}
            return _wrap(found(*map(_plain, args), **plain), self.traffic)

        return call


class StandInKernels:
    """The kernels in NumPy. They may change no other array than those they fill, which share memory with ours."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*args: Any) -> None:
            flat = [part for one in args for part in (one if isinstance(one, Seen) else [one])]
            assert all(one is None or isinstance(one, DeviceArray | float) for one in flat)
            assert all(one.flags.c_contiguous for one in flat if isinstance(one, DeviceArray)), (
                "kernels take rows that lie together"
            )
            getattr(reference, name)(
                *(Seen(*map(_plain, one)) if isinstance(one, Seen) else _plain(one) for one in args)
            )

        return call


class StandIn:
    """NumPy arrays as those of a device of `memory` bytes, as `device.arrays.Arrays` asks.

    Products are cut to the 10 bits of TF32 where that is asked for: the worst that a device may do. refuse: products of
    more rows than this raise MemoryError.
    """

    memory_errors: tuple[type[BaseException], ...] = (MemoryError,)

    def __init__(self, memory: int = 1 << 34, refuse: int | None = None) -> None:
        self.traffic, self.memory, self.refuse = Traffic(), memory, refuse
        self.xp, self.kernels = Namespace(self.traffic), StandInKernels()
        self.released = 0
        self.products: list[tuple[int, int, bool]] = []

    def put(self, array: np.ndarray) -> Any:
        assert not isinstance(array, DeviceArray), "a device array was copied to the device"
        self.traffic.up += array.nbytes
        self.traffic.copies.append(array.nbytes)
        return _wrap(np.array(array), self.traffic)

    def get(self, array: Any) -> np.ndarray:
        assert isinstance(array, DeviceArray), "a host array was copied home"
        self.traffic.down += array.nbytes
        return np.array(np.ndarray.view(array, np.ndarray))

    def stream(self, parts: Iterable[np.ndarray]) -> Iterator[Any]:
        return map(self.put, parts)

    def matmul(self, a: Any, b: Any, out: Any, tf32: bool) -> None:
        if self.refuse is not None and len(a) > self.refuse:
            raise MemoryError
        self.products.append((len(a), b.shape[1], tf32))
        left, right = _plain(a), _plain(b)
        if tf32:
            left, right = (
                (np.ascontiguousarray(one).view(np.uint32) & TRUNCATED).view(np.float32) for one in (left, right)
            )
        np.matmul(left, right, out=_plain(out))

    def free_bytes(self) -> int:
        return self.memory

    def release(self) -> None:
        self.released += 1
