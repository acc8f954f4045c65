"""CuPy's arrays and our CUDA kernels: the device loop on a device. Tests without one run the loop on NumPy instead."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from evenkeel.infra.dtypes import Array, Float32Array
from evenkeel.tasks.kmeans.device.cuda import CudaKernels

SLICE_BYTES = 16 << 20
SLICES = 8
COPIERS = 4
_products = threading.Lock()


class CupyArrays:
    """The namespace `cupy`, and the memory of the device of this process."""

    def __init__(self) -> None:
        import cupy
        from cupy._core import _routines_linalg as linalg

        self.xp: Any = cupy
        self._linalg: Any = linalg
        self.kernels = CudaKernels(cupy)
        self.memory_errors: tuple[type[BaseException], ...] = (cupy.cuda.memory.OutOfMemoryError, MemoryError)

    def put(self, array: Array) -> Array:
        """Copy an array to the device."""
        return self.xp.asarray(array)  # type: ignore[no-any-return]

    def get(self, array: Array) -> Array:
        """Copy an array to this machine."""
        return self.xp.asnumpy(array)  # type: ignore[no-any-return]

    def stream(self, parts: Iterable[Array]) -> Iterator[Array]:
        """Copy arrays through pinned memory on a stream of their own: the next travels while the last is worked on.

        Threads copy slices to a ring of pinned buffers: one alone reads memory more slowly than the bus takes it.
        """
        cupy = self.xp
        copying, ahead = cupy.cuda.Stream(non_blocking=True), deque[tuple[Any, Any]]()
        ring = [cupy.cuda.alloc_pinned_memory(SLICE_BYTES) for _ in range(SLICES)]
        taken: list[Any] = [None] * SLICES
        with ThreadPoolExecutor(COPIERS) as pool:
            for part in parts:
                # What was yielded before may be let go by now: its memory is used again once the work on it is done.
                copying.wait_event(cupy.cuda.get_current_stream().record())
                with copying:
                    there = cupy.empty(part.shape, part.dtype)
                    self._send(np.ascontiguousarray(part).reshape(-1), there.reshape(-1), pool, ring, taken, copying)
                    ahead.append((there, copying.record()))
                if len(ahead) > 1:
                    yield self._arrived(*ahead.popleft())
            while ahead:
                yield self._arrived(*ahead.popleft())
            copying.synchronize()

    def _send(
        self, part: Array, there: Any, pool: ThreadPoolExecutor, ring: list[Any], taken: list[Any], copying: Any
    ) -> None:
        """Copy numbers, (m,), to the device by slices; taken: for every buffer, what tells that it has been sent."""
        step = max(1, SLICE_BYTES // max(1, part.dtype.itemsize))

        def fill(number: int) -> Any:
            place = number % SLICES
            if taken[place] is not None:
                taken[place].synchronize()
            here = part[number * step : (number + 1) * step]
            host = np.frombuffer(ring[place], part.dtype, len(here))
            np.copyto(host, here)
            return host

        count = -(-len(part) // step)
        filled = deque(pool.submit(fill, number) for number in range(min(count, SLICES)))
        for number in range(count):
            host = filled.popleft().result()
            there[number * step : number * step + len(host)].set(host, stream=copying)
            taken[number % SLICES] = copying.record()
            if number + SLICES < count:
                filled.append(pool.submit(fill, number + SLICES))

    def _arrived(self, there: Any, event: Any) -> Array:
        """Let the work that follows wait for a copy."""
        self.xp.cuda.get_current_stream().wait_event(event)
        return there  # type: ignore[no-any-return]

    def matmul(self, a: Float32Array, b: Float32Array, out: Float32Array, tf32: bool) -> None:
        """Write a @ b to out by cuBLAS, on tensor cores where `tf32`."""
        kind = self._linalg.COMPUTE_TYPE_TF32 if tf32 else self._linalg.COMPUTE_TYPE_FP32
        with _products:  # the kind is one for all threads
            before = self._linalg.get_compute_type(np.float32)
            self._linalg.set_compute_type(np.float32, kind)
            try:
                self.xp.matmul(a, b, out=out)
            finally:
                self._linalg.set_compute_type(np.float32, before)

    def free_bytes(self) -> int:
        """Return the bytes that are free on the device or in the pool of this process."""
        from evenkeel.infra.gpu import free_bytes

        return free_bytes()

    def release(self) -> None:
        """Give memory that CuPy's own pool keeps for later back."""
        self.xp.get_default_memory_pool().free_all_blocks()
