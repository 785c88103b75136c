"""What this machine has for training: cores, cache, free memory and CUDA devices. No torch."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

GIB = 2**30
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def cores() -> int:
    """Return how many cores this process may use: OMP_NUM_THREADS if it is set, else as many as the system allows."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # "max" is no quota
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = max(1, min(allowed, round(int(quota) / int(period))))
    return max(1, min(int(asked), 1024)) if asked.isdecimal() else allowed


def cache_per_core() -> int:
    """Return half of a core's share of the last-level cache, in bytes. Images and other programs need the rest."""
    with contextlib.suppress(OSError, ValueError):
        levels = sorted(CACHES.glob("index*"), key=lambda index: index.name)
        size = (levels[-1] / "size").read_text().strip()  # such as 32768K
        ranges = [part.split("-") for part in (levels[-1] / "shared_cpu_list").read_text().split(",")]  # such as 0-7,16
        cpus = sum(int(ends[-1]) - int(ends[0]) + 1 for ends in ranges)
        return int(size.removesuffix("K")) * 1024 // (2 * cpus)
    return 8 * 2**20


def available_memory() -> int:
    """Return how many bytes are free now, by the kernel's estimate and within the limit of this control group."""
    bounds = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                bounds.append(1024 * int(line.split()[1]))
    with contextlib.suppress(OSError, ValueError):  # "max" is no limit
        group = Path("/sys/fs/cgroup")
        used = int((group / "memory.current").read_text())
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used -= int(facts.get("inactive_file", 0))  # a cache of files, which the kernel frees when memory is short
        bounds.append(int((group / "memory.max").read_text()) - used)
    return max(0, min(bounds))


def cuda_count() -> int:
    """Return how many CUDA devices the driver offers, CUDA_VISIBLE_DEVICES respected; 0 without a driver."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
