"""Renames that Python lacks: two names exchanged in one step, and a rename that never overwrites."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

# renameat2(2) of Linux, renamex_np(2) of macOS.
_AT_FDCWD = -100
_CALLS = {"linux": ("renameat2", 1, 2), "darwin": ("renamex_np", 4, 2)}
_LACKING = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def exchange(first: Path, second: Path) -> bool:
    """Let two existing paths swap what they name, so that neither is ever missing.

    False if the system or the disk cannot; nothing has changed then. Raises OSError.
    """
    return _rename(first, second, swap=True)


def rename_to_free(old: Path, new: Path) -> bool:
    """Rename unless `new` exists already. False if the system or the disk cannot tell; nothing has changed then.

    Raises FileExistsError and other OSErrors.
    """
    return _rename(old, new, swap=False)


def _rename(old: Path, new: Path, *, swap: bool) -> bool:
    call = _call(swap)
    if call is None:
        return False
    if call(os.fsencode(old), os.fsencode(new)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _LACKING:
        return False
    raise OSError(code, os.strerror(code), str(old), None, str(new))


def _call(swap: bool) -> Callable[[bytes, bytes], int] | None:
    if sys.platform not in _CALLS:
        return None
    name, never_overwrite, exchange_names = _CALLS[sys.platform]
    flag = exchange_names if swap else never_overwrite
    try:
        function = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):  # an older C library
        return None
    if sys.platform == "darwin":
        return lambda old, new: int(function(old, new, ctypes.c_uint(flag)))
    return lambda old, new: int(function(_AT_FDCWD, old, _AT_FDCWD, new, ctypes.c_uint(flag)))
