"""Page-locked memory of this machine, from which a CUDA device copies by itself."""

import logging
import threading

import numpy as np

LOG = logging.getLogger(__name__)

_lock = threading.Lock()
_kept = 0  # bytes of the pieces that CuPy's pool keeps


def page_locked(size: int) -> memoryview | None:
    """Return `size` bytes of page-locked memory, None where none is to be had; a debug message says why.

    Locking pages takes time, so CuPy's pool keeps a piece that nothing refers to any more for whoever asks for as many
    bytes. Asking for another size gives back all that is kept.
    """
    global _kept
    try:
        import cupy

        with _lock:
            if size != _kept:
                cupy.get_default_pinned_memory_pool().free_all_blocks()
                _kept = size
        return np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size).data
    except (ImportError, OSError, RuntimeError, MemoryError) as error:  # no CuPy, no device, or no memory
        LOG.debug("no page-locked memory of %s bytes: %s: %s", f"{size:,}", type(error).__name__, error)
        return None
