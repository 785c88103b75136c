"""Which device "cuda" means, as far as can be said without importing torch."""

from __future__ import annotations

import ctypes

from dropout_lab.errors import Problem, Refused


def check(device: str, where: str) -> None:
    """Refuse "cuda" or "cuda:<n>", asked for in `where`, if the driver has none such; "auto" and "cpu" always pass."""
    if not device.startswith("cuda"):
        return
    count, index = cuda_count(), int(device.partition(":")[2] or 0)
    if index >= count:
        reason = f"this machine has {count or 'no'} CUDA device{'s' * (count > 1)}; use cpu or auto"
        raise Refused(Problem(where, "device", reason, device))


def likely(device: str) -> str:
    """Return the device that "auto" will most likely be; torch may yet find that it was built without CUDA."""
    return device if device != "auto" else "cuda" if cuda_count() else "cpu"


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
