"""The payload of a bare bundle: in clear, with a checksum that tells accidents and not attackers."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import BinaryIO

from neuralcipher.container.format import Source
from neuralcipher.errors import COPY_HINT, PayloadDamagedError, TruncatedError

CHECKSUM_BYTES = 32
_PIECE_BYTES = 1 << 20


class PlainWriter:
    """Writes the payload as it is, then the SHA-256 of the whole file."""

    def __init__(self, file: BinaryIO, preamble: bytes) -> None:
        self._file = file
        self._hash = sha256(preamble)

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes of the payload."""
        self._hash.update(data)
        self._file.write(data)

    @staticmethod
    def stored_size(length: int) -> int:
        """Bytes in the file of a payload of `length` bytes."""
        return length + CHECKSUM_BYTES

    def close(self) -> None:
        """Write the checksum; nothing may be written after it."""
        self._file.write(self._hash.digest())


class PlainReader:
    """Reads any range of a payload in clear; the same interface as StreamReader."""

    def __init__(self, source: Source, offset: int) -> None:
        self._source = source
        self._offset = offset
        self._end_checked = False

    @property
    def length(self) -> int:
        """Bytes of payload, if the file is whole."""
        return max(0, self._source.size - self._offset - CHECKSUM_BYTES)

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes [offset, offset + length), which must lie inside; verifies the checksum once."""
        self.check_end()
        if offset < 0 or length < 0 or offset + length > self.length:
            raise ValueError("the range is not inside the payload")
        return self._source.read(self._offset + offset, length)

    def check_end(self) -> None:
        """Verify the checksum. Raises TruncatedError, PayloadDamagedError; it cannot tell where."""
        if self._end_checked:
            return
        name, end = self._source.name, self._source.size - CHECKSUM_BYTES
        if end < self._offset:
            raise TruncatedError(f"{name} is cut short after {self._source.size} bytes", hint=COPY_HINT)
        digest = sha256()
        for start in range(0, end, _PIECE_BYTES):
            digest.update(self._source.read(start, min(_PIECE_BYTES, end - start)))
        if not hmac.compare_digest(digest.digest(), self._source.read(end, CHECKSUM_BYTES)):
            raise PayloadDamagedError(f"{name} is damaged or cut short: its checksum does not match", hint=COPY_HINT)
        self._end_checked = True
