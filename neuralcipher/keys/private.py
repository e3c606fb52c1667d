"""Files that hold a secret: read without leaving copies, and looked at for who else may use them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuralcipher.files import read_small
from neuralcipher.keys.secret import wipe


@contextmanager
def read_private(path: Path, noun: str, limit: int) -> Iterator[bytearray]:
    """What `read_small` reads, for as long as the block lasts; then it is wiped."""
    data = read_small(path, noun, limit)
    try:
        yield data
    finally:
        wipe(data)


def key_file_warning(path: Path, noun: str = "key file") -> str | None:
    """One sentence if others than the owner can get at a file with a secret, else None. Pipes are not looked at.

    A file of root is accepted, since root can read every file; noun: what the sentence calls it.
    """
    try:
        info = path.stat()
    except OSError:
        return None
    if os.name == "nt" or not stat.S_ISREG(info.st_mode):
        return None
    if info.st_uid not in (os.geteuid(), 0):
        return f"the {noun} {path} belongs to another user, who can read and replace it"
    if info.st_mode & 0o077:
        return f"the {noun} {path} can be used by others than its owner: chmod 600 would close it"
    return None
