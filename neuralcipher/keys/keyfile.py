"""Key files: 32 bytes from the operating system, readable by their owner alone."""

from __future__ import annotations

import os
from pathlib import Path

from neuralcipher.errors import KeyFileError
from neuralcipher.files import BUNDLE_MAGIC, output_file
from neuralcipher.keys.private import read_private
from neuralcipher.keys.secret import SECRET_BYTES, Secret

_KEYGEN_HINT = "make one with ncipher keygen"


class Key(Secret):
    """The 32 secret bytes of a key file."""

    __slots__ = ()

    @classmethod
    def generate(cls) -> Key:
        """Draw a new key from the operating system."""
        return cls(os.urandom(SECRET_BYTES))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Key:
        """Read a key file; a pipe will do.

        Raises UsageError if it is missing, a folder or unreadable; KeyFileError if it is a bundle or not of
        32 bytes.
        """
        with read_private(Path(path), "key file", max(SECRET_BYTES, len(BUNDLE_MAGIC))) as content:
            return cls._of_file(path, content)

    @classmethod
    def _of_file(cls, path: str | os.PathLike[str], data: bytearray) -> Key:
        if data.startswith(BUNDLE_MAGIC):
            raise KeyFileError(f"{path} is a bundle, not a key file", hint="pass the key file that sealed it")
        if len(data) != SECRET_BYTES:
            count = "more" if len(data) > SECRET_BYTES else str(len(data))
            raise KeyFileError(f"the key file {path} must have 32 bytes and has {count}", hint=_KEYGEN_HINT)
        return cls(data)

    def write(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the key file, mode 0600. Raises OutputExistsError unless `force`, UsageError, WriteError."""
        with output_file(Path(path), force=force, private=True) as file:
            file.write(self.buffer())
