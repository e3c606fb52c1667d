"""How much memory something takes at its peak, Python's and what the process touches besides."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_RESET = Path("/proc/self/clear_refs")


class HighWater:
    """Peak of the process's resident size since `start`, by the kernel's own mark; Linux only."""

    def __init__(self) -> None:
        self._reset = os.open(_RESET, os.O_WRONLY)
        self._status = os.open("/proc/self/status", os.O_RDONLY)

    def _read(self, field: bytes) -> int:
        status = os.pread(self._status, 4096, 0)
        return int(status.split(field, 1)[1].split(None, 1)[0]) << 10

    def start(self) -> int:
        """Forget the mark; returns the resident bytes now."""
        os.pwrite(self._reset, b"5", 0)
        return self._read(b"VmRSS:")

    def peak(self) -> int:
        """Resident bytes at the most since `start`."""
        return self._read(b"VmHWM:")

    def mapped(self) -> int:
        """Bytes of address space."""
        return self._read(b"VmSize:")

    def close(self) -> None:
        """Close what it reads from."""
        os.close(self._reset)
        os.close(self._status)


@dataclass
class Peak:
    """bytes: known once the block has ended."""

    bytes: int = 0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """The larger of what tracemalloc saw (NumPy too) and, on Linux, of the growth of the process."""
    found = Peak()
    mark = HighWater() if os.access(_RESET, os.W_OK) else None
    tracemalloc.start()
    before = mark.start() if mark else 0
    try:
        yield found
    finally:
        found.bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if mark:
            found.bytes = max(found.bytes, mark.peak() - before)
            mark.close()
