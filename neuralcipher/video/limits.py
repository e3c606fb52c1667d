"""What the child that decodes may use: set by itself, once its modules are loaded and its file is open.

Limits of the system's `resource` kind hold an accident or a bomb; they are no sandbox against code that runs in the
child (SECURITY.md). Where there is no `resource` (Windows), only the parent's patience holds.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from neuralcipher.process import prctl

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# Address space that takes no memory: code, and what an allocator and threads' stacks reserve.
_RESERVED_BYTES = 2 << 30
_PR_SET_NO_NEW_PRIVS = 38
# A folder of pictures is read one file at a time.
_FOLDER_FILES = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """memory_bytes: of data in the child. stall_s: without a frame or a byte more of the file; seconds of computing
    in the child, and of waiting in the parent."""

    memory_bytes: int = 4 << 30
    stall_s: int = 60


def confine(limits: Limits, *, folder: bool) -> None:
    """Take from this process what it does not need: memory, CPU time, files, cores, new privileges.

    folder: whether it goes on to open files. For a single file, which is open by now, no descriptor can be added:
    no file, no pipe, no socket.
    """
    _die_first()
    if resource is None:
        return
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_FSIZE", 0)
    _limit("RLIMIT_DATA", limits.memory_bytes)
    _limit("RLIMIT_AS", limits.memory_bytes + _RESERVED_BYTES)
    _limit("RLIMIT_NOFILE", _FOLDER_FILES if folder else 0)
    allow_cpu(limits)


def allow_cpu(limits: Limits) -> None:
    """Let this process compute for `stall_s` from now on; the system ends it (SIGXCPU) if it computes for longer."""
    if resource is not None:
        end = int(time.process_time()) + limits.stall_s + 1
        _limit("RLIMIT_CPU", end, soft_only=True)


def _limit(name: str, value: int, *, soft_only: bool = False) -> None:
    kind = getattr(resource, name, None)
    if kind is None:
        return
    with suppress(OSError, ValueError):  # macOS refuses some of them
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, hard if soft_only else value))


def _die_first() -> None:
    """If the machine's memory runs out, end this process, not its parent; gain no rights from set-uid programs."""
    if sys.platform != "linux":
        return
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
