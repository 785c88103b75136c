"""What this machine has for training, and what numbers may depend on beside the config. No torch."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from multiprocessing import current_process
from pathlib import Path
from typing import Any

from dropout_lab.errors import Problem, Refused

GIB = 2**30
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def note_fork() -> None:
    """Note, in the child of a fork, that torch was here before: its threads did not come along, and it would wait."""
    global torch_was_forked
    torch_was_forked = "torch" in sys.modules


# a program that forked before it used this package has torch, but not this module
torch_was_forked = "torch" in sys.modules and type(current_process()).__name__ == "ForkProcess"
os.register_at_fork(after_in_child=note_fork)


@contextlib.contextmanager
def without_lost_threads() -> Iterator[None]:
    """Compute with one thread in a process that was forked from one that used torch. The number is set back."""
    torch = sys.modules.get("torch") if torch_was_forked else None
    if torch is None:
        yield
        return
    found = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(found)


def cores() -> int:
    """Return how many cores this process may use: OMP_NUM_THREADS if it is set, else as many as the system allows.

    A process that was forked from one that used torch can use one.
    """
    if torch_was_forked:
        return 1
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


def environment(device: str, threads: int) -> dict[str, Any]:
    """Return the environment as summary.json has it: versions, machine, device, threads and the commit of the code."""
    return {
        **{name: metadata.version(name) for name in ("dropout-lab", "torch", "numpy")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "device": device,
        "threads": threads,
        "git_commit": git_commit(),
    }


def require(package: str, key: str, value: str, extra: str | None = None) -> None:
    """Refuse the option `key` if it needs an optional package that is not installed, and say how to install it."""
    if find_spec(package) is None:
        reason = f"needs the package {package}: pip install 'dropout-lab[{extra or package}]'"
        raise Refused(Problem("command line", key, reason, value))


def cpu_model() -> str:
    """Return the processor's name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def git_commit() -> str | None:
    """Return the last commit that changed this package, None if it is not in a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent.parent), "log", "-1", "--format=%H", "--", "."]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() or None
    return None
