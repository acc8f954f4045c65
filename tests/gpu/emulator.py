"""Runs CUDA C on the CPU: a kernel's source compiled by g++, its threads as fibers that meet where a warp shuffles.

One block after the other, one fiber a thread; a shuffle waits until all lanes of the warp have come to it. This shows
that the source computes what it should, not that it is fast.
"""

import ctypes
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SHIM = r"""
#include <ucontext.h>
#include <cmath>
#include <cstring>
#include <vector>
#include <functional>
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
struct Index { unsigned x, y, z; };
static Index blockIdx, blockDim, gridDim;
struct Fiber {
  ucontext_t context; std::vector<char> stack; bool done; unsigned thread; unsigned long met, met_all; long long slot;
};
static std::vector<Fiber> fibers;
static unsigned running;
static ucontext_t scheduler;
#define threadIdx (Index{fibers[running].thread, 0, 0})
static inline float __int_as_float(int bits) { float value; memcpy(&value, &bits, 4); return value; }
static inline unsigned as_bits(float value) { unsigned bits; memcpy(&bits, &value, 4); return bits; }
static void meet() {
  Fiber& self = fibers[running];
  unsigned warp = self.thread / 32, me = running;
  unsigned long wanted = ++self.met;
  for (;;) {
    bool all = true;
    for (unsigned t = warp * 32; t < warp * 32 + 32 && t < fibers.size(); t++)
      if (!fibers[t].done && fibers[t].met < wanted) all = false;
    if (all) return;
    swapcontext(&fibers[me].context, &scheduler);
  }
}
template <class T> T exchange(T value, unsigned from) {
  memcpy(&fibers[running].slot, &value, sizeof(T));
  meet();
  T found;
  memcpy(&found, &fibers[from].slot, sizeof(T));
  meet();
  return found;
}
template <class T> T __shfl_down_sync(unsigned, T value, int step) {
  unsigned lane = running % 32;
  return exchange(value, lane + step < 32 ? running + step : running);
}
template <class T> T __shfl_up_sync(unsigned, T value, int step) {
  return exchange(value, (int)(running % 32) >= step ? running - step : running);
}
template <class T> T __shfl_xor_sync(unsigned, T value, int step) {
  return exchange(value, running ^ (unsigned)step);
}
template <class T> T __shfl_sync(unsigned, T value, int lane) { return exchange(value, running - running % 32 + lane); }
static unsigned __ballot_sync(unsigned, bool value) {
  unsigned found = 0, warp = running - running % 32;
  fibers[running].slot = value;
  meet();
  for (unsigned t = 0; t < 32; t++) found |= (unsigned)(fibers[warp + t].slot != 0) << t;
  meet();
  return found;
}
static int __popc(unsigned bits) { return __builtin_popcount(bits); }
static int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
static float __fadd_rn(float a, float b) { return a + b; }
static float __fmul_rn(float a, float b) { return a * b; }
static void __syncthreads() {
  unsigned me = running;
  unsigned long wanted = ++fibers[me].met_all;
  for (;;) {
    bool all = true;
    for (Fiber& one : fibers)
      if (!one.done && one.met_all < wanted) all = false;
    if (all) return;
    swapcontext(&fibers[me].context, &scheduler);
  }
}
template <class T, class V> void atomicAdd(T* at, V value) { *at += (T)value; }
static std::function<void()> body;
static void enter() { body(); fibers[running].done = true; swapcontext(&fibers[running].context, &scheduler); }
static void launch(unsigned grid, unsigned block, std::function<void()> work) {
  gridDim = {grid, 1, 1}; blockDim = {block, 1, 1}; body = work;
  fibers.resize(block);
  for (unsigned b = 0; b < grid; b++) {
    blockIdx = {b, 0, 0};
    for (unsigned t = 0; t < block; t++) {
      Fiber& one = fibers[t];
      one.done = false; one.thread = t; one.met = one.met_all = 0; one.stack.resize(1 << 16);
      getcontext(&one.context);
      one.context.uc_stack.ss_sp = one.stack.data(); one.context.uc_stack.ss_size = one.stack.size();
      one.context.uc_link = nullptr;
      makecontext(&one.context, enter, 0);
    }
    for (bool left = true; left;) {
      left = false;
      for (running = 0; running < block; running++)
        if (!fibers[running].done) { left = true; swapcontext(&scheduler, &fibers[running].context); }
    }
  }
}
"""


class Emulated:
    """Kernels by name, called as CuPy's are: kernel(grid, block, arguments)."""

    def __init__(self, source: str, kernels: dict[str, str], folder: Path) -> None:
        """Compile `source`; kernels: the types of the arguments of each, such as "ppqi": pointer, int64, int32."""
        kinds = {"p": "void*", "q": "long long", "i": "int", "u": "unsigned", "f": "double"}
        launchers = []
        for name, types in kernels.items():
            taken = ", ".join(f"{kinds[kind]} a{at}" for at, kind in enumerate(types))
            given = ", ".join(f"Any{{a{at}}}" if kind == "p" else f"a{at}" for at, kind in enumerate(types))
            launchers.append(
                f'extern "C" void launch_{name}(unsigned grid, unsigned block, {taken}) '
                f"{{ launch(grid, block, [=] {{ {name}({given}); }}); }}"
            )
        code = "struct Any { void* at; template <class T> operator T*() const { return (T*)at; } };\n"
        (folder / "kernels.cpp").write_text(SHIM + source + code + "\n".join(launchers))
        command = ["g++", "-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-o", "kernels.so", "kernels.cpp"]
        subprocess.run(command, cwd=folder, check=True)
        self._library, self._kernels = ctypes.CDLL(str(folder / "kernels.so")), kernels

    def get_function(self, name: str) -> Any:
        """Return a kernel."""
        types = self._kernels[name]
        converted = {
            "p": ctypes.c_void_p,
            "q": ctypes.c_longlong,
            "i": ctypes.c_int,
            "u": ctypes.c_uint,
            "f": ctypes.c_double,
        }

        def call(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
            given = [one.ctypes.data if isinstance(one, np.ndarray) else one.item() for one in arguments]
            assert len(given) == len(types)
            launch = getattr(self._library, f"launch_{name}")
            launch(grid[0], block[0], *(converted[kind](one) for kind, one in zip(types, given, strict=True)))

        return call


@cache
def emulated(source: str) -> Emulated:
    """Return the kernels of a source, compiled once in this process; the test is skipped where there is no g++."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ to compile the kernels with")
    folder = Path(tempfile.mkdtemp())
    try:
        return Emulated(source, signatures(source), folder)
    finally:
        shutil.rmtree(folder)  # what is loaded stays in memory


def signatures(source: str) -> dict[str, str]:
    """Return the types of the arguments of each kernel of a source, as `Emulated` takes them."""
    found = re.findall(r"__global__ void (\w+)\(([^)]*)\)", source)
    return {name: "".join(map(_kind, taken.split(","))) for name, taken in found}


def _kind(argument: str) -> str:
    if "*" in argument:
        return "p"
    kinds = {"long long": "q", "int": "i", "double": "f"}
    return kinds[argument.rpartition(" ")[0].strip()]
