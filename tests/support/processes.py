"""What the processes below a process are, and on which addresses they listen."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable

import psutil


def below(pid: int) -> dict[int, str]:
    """All living descendants of a process, with their command lines."""
    found = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = " ".join(process.cmdline())
    return found


def alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and that nobody has asked after does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def listening(pids: Iterable[int]) -> set[tuple[str, int]]:
    """The addresses and ports at which processes wait for strangers."""
    found = set()
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            for connection in psutil.Process(pid).net_connections():
                datagrams = connection.type == socket.SOCK_DGRAM and not connection.raddr
                if datagrams or connection.status == psutil.CONN_LISTEN:
                    found.add(tuple(connection.laddr))
    return found
