"""What numbers may depend on beside the config: versions, machine, device, and the commit of the code. No torch."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dropout_lab.errors import Problem, Refused


def environment(device: str, threads: int) -> dict[str, Any]:
    """Return the environment as summary.json has it."""
    packages = ("dropout-lab", "torch", "numpy")
    return {
        **{name: metadata.version(name) for name in packages},
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
