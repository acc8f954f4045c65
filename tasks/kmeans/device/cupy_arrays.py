"""CuPy's arrays and our CUDA kernels: the device loop on a device. Tests without one run the loop on NumPy instead."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from evenkeel.infra.dtypes import Array, Float32Array
from evenkeel.tasks.kmeans.device.cuda import CudaKernels


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
        """Copy arrays through pinned memory on a stream of their own: the next travels while the last is worked on."""
        cupy = self.xp
        copying, ahead = cupy.cuda.Stream(non_blocking=True), deque[tuple[Any, Any, Any]]()
        for part in parts:
            pinned = cupy.cuda.alloc_pinned_memory(max(part.nbytes, 1))
            host = np.frombuffer(pinned, part.dtype, part.size).reshape(part.shape)
            host[...] = part
            # What was yielded before may be let go by now: its memory is used again once the work on it is done.
            copying.wait_event(cupy.cuda.get_current_stream().record())
            with copying:
                there = cupy.empty(part.shape, part.dtype)
                there.set(host, stream=copying)
                ahead.append((there, copying.record(), pinned))
            if len(ahead) > 1:
                yield self._arrived(*ahead.popleft())
        while ahead:
            yield self._arrived(*ahead.popleft())

    def _arrived(self, there: Any, event: Any, pinned: Any) -> Array:
        """Let the work that follows wait for a copy; its pinned memory may go once the copy is made."""
        self.xp.cuda.get_current_stream().wait_event(event)
        event.synchronize()
        del pinned
        return there  # type: ignore[no-any-return]

    def matmul(self, a: Float32Array, b: Float32Array, out: Float32Array, tf32: bool) -> None:
        """Write a @ b to out by cuBLAS, on tensor cores where `tf32`."""
        kind = self._linalg.COMPUTE_TYPE_TF32 if tf32 else self._linalg.COMPUTE_TYPE_FP32
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
