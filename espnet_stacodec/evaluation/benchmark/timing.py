"""Times of several ways to do the same, side by side, and what a machine could do at most."""

import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

MATRIX_SIZE = 2048


def side_by_side(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the shortest time (s) of each way, after one call of each to warm up.

    In turns, so that what else the machine does slows all of them down; the shortest, because
    nothing else makes a way faster than it is.
    """
    for way in ways.values():
        way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    return {name: min(of_way) for name, of_way in times.items()}


def matrix_rate(repeats: int) -> float:
    """Return the rate (GFLOP/s) of a large float32 matrix product with torch's threads."""
    a = torch.randn(MATRIX_SIZE, MATRIX_SIZE)
    seconds = side_by_side({"product": lambda: a @ a}, repeats)["product"]
    return 2 * MATRIX_SIZE**3 / seconds / 1e9


def has_bfloat16() -> bool:
    """Return whether this CPU computes bfloat16; emulated, it is ten times slower than float32."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def warn_of_load() -> None:
    """Log what else the machine does: with that, times say little."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > 0.5 * cores:
        logging.warning("%.1f processes compute on %d cores: times will be too long", load, cores)


def alone[R](work: Callable[..., R], *args: object) -> R:
    """Return work(*args), done by a process of its own, whose memory nothing else has used."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def peak_bytes() -> int:
    """Return the most memory that this process has used so far."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    # Linux's ru_maxrss begins with what the process that started this one has used.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(kilobytes)
