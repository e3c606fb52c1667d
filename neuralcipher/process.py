"""Settings of the process that a command makes for itself; most of them a library must not make for its caller."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_ARENAS = 2
_KEEP_BYTES = 1 << 30
_SWITCH_S = 1e-5
_SPINS = "10000"
_PR_SET_DUMPABLE = 4


def prepare(threads: int | None = None) -> None:
    """Before torch is loaded: make this a good neighbour, and dump no core.

    threads: torch computes on so many, unless the environment says how many; None for all cores.
    """
    no_core_dumps()  # also in a worker, which does not inherit all of it
    if threads is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    good_neighbour()


def good_neighbour() -> None:
    """Before torch is loaded: share the cores well, and spare this process page faults.

    Waiting threads spin for some 10 us and then sleep. With torch's own 1 ms, the small convolutions of g run up to 30
    times slower on busy cores; asleep at once, nearly everything on two threads runs slower than on one.
    Threads of Python hand over at once, not after 5 ms, which is a third of the time that a frame takes.
    glibc keeps freed tensors instead of giving them back to the kernel at every step (1.4 times faster training), in
    two heaps: with one for each thread that ever worked, a long video would take more memory than a short one.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)  # comes before the policy, where OpenMP is GNU's
    sys.setswitchinterval(_SWITCH_S)
    _call("mallopt", _M_MMAP_THRESHOLD, _KEEP_BYTES)
    _call("mallopt", _M_TRIM_THRESHOLD, _KEEP_BYTES)
    _call("mallopt", _M_ARENA_MAX, _ARENAS)


def give_back_memory() -> None:
    """Return what is free to the kernel, so that what the segments of a long video leave behind does not add up."""
    _call("malloc_trim", 0)


def no_core_dumps() -> None:
    """Keep keys out of core dumps, and out of reach of other processes of the same user.

    No core file is written; on Linux none is piped to a collector either (which ignores the limit), and debuggers,
    /proc/PID/mem and /proc/PID/environ are left to root. The limit goes on to children, the rest ends when another
    program is started.
    """
    if os.name != "nt":
        import resource

        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(_PR_SET_DUMPABLE, 0)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process, see prctl(2); nothing where there is none."""
    _call("prctl", option, value, 0, 0, 0)


def _call(name: str, *arguments: int) -> None:
    """Call a function of the C library on Linux; nothing where it has none."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None)[name](*arguments)
