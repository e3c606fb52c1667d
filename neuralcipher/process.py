"""Settings of the process that must be made before torch is loaded; a library must not make them for its caller."""

from __future__ import annotations

import os
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP_BYTES = 1 << 30


def prepare() -> None:
    """Make torch a good neighbour, and spare it page faults.

    Waiting threads sleep instead of spinning: on busy cores, the small convolutions of g run up to 30 times faster.
    glibc keeps freed tensors instead of giving them back to the kernel at every step (1.4 times faster training).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform == "linux":
        import ctypes

        try:
            set_option = ctypes.CDLL(None).mallopt
        except (OSError, AttributeError):  # another C library
            return
        set_option(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        set_option(_M_TRIM_THRESHOLD, _KEEP_BYTES)
