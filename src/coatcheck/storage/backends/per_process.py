"""
One value for each process: connections that were open before a fork are not used after it.

Two processes that use one connection get each other's answers. A server that forks its workers
after the application was imported hands them every connection that was open then. So a child opens
its own. What it inherited stays as it is: to close it properly could end it for the parent, too.
"""

import os
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """
    The value of this process.

    Args:
        open: Called by the first call in a process. If it raises, the next call calls it again.
        release: Called by `close`.
    """

    def __init__(self, open: Callable[[], T], release: Callable[[T], object]) -> None:
        self._open = open
        self._release = release
        self._held: dict[int, T] = {}
        # A lock that a thread of the parent held at the fork would stay locked in the child.
        self._locks: dict[int, Lock] = {}

    def get(self) -> T:
        """Return the value of this process; errors are those of *open*."""
        pid = os.getpid()
        try:
            return self._held[pid]
        except KeyError:
            with self._locks.setdefault(pid, Lock()):
                if pid not in self._held:
                    self._held[pid] = self._open()
                return self._held[pid]

    def close(self) -> None:
        """Release the value of this process, if there is one."""
        pid = os.getpid()
        if pid in self._held:
            self._release(self._held.pop(pid))

    def peek(self) -> T | None:
        """Return the value of this process; None: there is none yet."""
        return self._held.get(os.getpid())
