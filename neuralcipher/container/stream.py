"""STREAM: the payload as AEAD chunks; any opens alone, and none can be moved, dropped or added.

Source: Hoang, Reyhanitabar, Rogaway and Vizar, Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance, 2015; the nonce layout is that of age v1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from neuralcipher.container.format import Source
from neuralcipher.errors import COPY_HINT, LimitError, PayloadDamagedError, TruncatedError

CHUNK_BYTES = 65_536
TAG_BYTES = 16
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
# 256 TiB; keeps AES-GCM far below its limits for one key.
MAX_CHUNKS = 2**32

_CACHED_CHUNKS = 4
_TRAILING_SEARCH = 64

Aead = ChaCha20Poly1305 | AESGCM


def payload_aead(name: str, key: bytes) -> Aead:
    """Return the AEAD called `name` in a header, one of format.AEAD_NAMES, under a 32-byte key."""
    return AESGCM(key) if name == "aes-256-gcm" else ChaCha20Poly1305(key)


def chunk_nonce(index: int, final: bool) -> bytes:
    """12 bytes: the chunk's number, 11 bytes big-endian, then 1 for the last chunk, else 0."""
    return index.to_bytes(11, "big") + (b"\x01" if final else b"\x00")


class StreamWriter:
    """Encrypts what is written, in chunks, to a file that only needs `write`."""

    def __init__(self, file: BinaryIO, aead: Aead) -> None:
        self._file = file
        self._aead = aead
        self._pending = bytearray()
        self._index = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append plaintext. A full chunk is held back until it is known whether it is the last."""
        view = memoryview(data).cast("B")
        if self._pending:
            room = CHUNK_BYTES - len(self._pending)
            self._pending += view[:room]
            view = view[room:]
            if not view:
                return
            self._seal(self._pending, final=False)
            self._pending = bytearray()
        full = max(0, len(view) - 1) // CHUNK_BYTES * CHUNK_BYTES
        for start in range(0, full, CHUNK_BYTES):
            self._seal(view[start : start + CHUNK_BYTES], final=False)
        self._pending += view[full:]

    def close(self) -> None:
        """Write the last chunk; nothing may be written after it."""
        self._seal(self._pending, final=True)
        self._pending = bytearray()

    @staticmethod
    def stored_size(length: int) -> int:
        """Bytes in the file of a payload of `length` bytes."""
        return length + TAG_BYTES * max(1, -(-length // CHUNK_BYTES))

    def _seal(self, chunk: bytearray | memoryview, *, final: bool) -> None:
        if self._index >= MAX_CHUNKS:
            raise LimitError(f"the payload is above the limit of {MAX_CHUNKS} chunks", hint="seal the video in parts")
        self._file.write(self._aead.encrypt(chunk_nonce(self._index, final), chunk, None))
        self._index += 1


class StreamReader:
    """Decrypts any range of a payload of `size` bytes at `offset` of a source. For one thread at a time."""

    def __init__(self, source: Source, offset: int, size: int, aead: Aead) -> None:
        self._source = source
        self._offset = offset
        self._size = size
        self._aead = aead
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._end_checked = False

    @property
    def chunk_count(self) -> int:
        """How many chunks a payload of this size has."""
        return -(-self._size // SEALED_CHUNK_BYTES)

    @property
    def length(self) -> int:
        """Bytes of plaintext, if the size is that of a whole payload."""
        return max(0, self._size - self.chunk_count * TAG_BYTES)

    def chunk_offset(self, index: int) -> int:
        """Where a chunk begins in the file, bytes."""
        return self._offset + index * SEALED_CHUNK_BYTES

    def read(self, offset: int, length: int) -> bytes:
        """Return plaintext [offset, offset + length), which must lie inside; verifies the last chunk first.

        Raises TruncatedError or PayloadDamagedError.
        """
        self.check_end()
        if offset < 0 or length < 0 or offset + length > self.length:
            raise ValueError("the range is not inside the payload")
        if not length:
            return b""
        first, last = offset // CHUNK_BYTES, (offset + length - 1) // CHUNK_BYTES
        pieces: list[bytes | memoryview] = [self._chunk(index) for index in range(first, last + 1)]
        end = offset + length - last * CHUNK_BYTES
        if end < len(pieces[-1]):
            pieces[-1] = memoryview(pieces[-1])[:end]
        start = offset - first * CHUNK_BYTES
        if start:
            pieces[0] = memoryview(pieces[0])[start:]
        return pieces[0] if len(pieces) == 1 and isinstance(pieces[0], bytes) else b"".join(pieces)

    def _chunk(self, index: int) -> bytes:
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        chunk = self._open(index, self._size, final=index == self.chunk_count - 1)
        if chunk is None:
            raise PayloadDamagedError(self._message(index), hint=COPY_HINT)
        self._cache[index] = chunk
        if len(self._cache) > _CACHED_CHUNKS:
            self._cache.popitem(last=False)
        return chunk

    def _message(self, index: int) -> str:
        return f"the payload of {self._source.name} is damaged at byte {self.chunk_offset(index)}"

    def _open(self, index: int, size: int, *, final: bool) -> bytes | None:
        """Decrypt a chunk of a payload of `size` bytes, or return None if it does not verify."""
        start = index * SEALED_CHUNK_BYTES
        length = min(SEALED_CHUNK_BYTES, size - start)
        # Only the last chunk may be short, and it is empty only if the whole payload is.
        if length < TAG_BYTES or (length == TAG_BYTES and index) or (not final and length < SEALED_CHUNK_BYTES):
            return None
        data = self._source.read(self._offset + start, length)
        try:
            return self._aead.decrypt(chunk_nonce(index, final), data, None)
        except InvalidTag:
            return None

    def check_end(self) -> None:
        """Verify that the last chunk is a valid last chunk.

        Raises TruncatedError if the file is surely cut, PayloadDamagedError if it has bytes after its end, or
        if its last chunk is damaged or cut, which look the same.
        """
        if self._end_checked:
            return
        last = self.chunk_count - 1
        chunk = self._open(last, self._size, final=True) if last >= 0 else None
        if chunk is None:
            raise self._bad_end(last)
        self._cache[last] = chunk
        self._end_checked = True

    def _bad_end(self, last: int) -> TruncatedError | PayloadDamagedError:
        """Find out why the last chunk is none."""
        name = self._source.name
        if last < 0 or self._open(last, self._size, final=False) is not None:
            return TruncatedError(f"{name} is cut short after {self._source.size} bytes", hint=COPY_HINT)
        for extra in range(1, min(_TRAILING_SEARCH, self._size - TAG_BYTES) + 1):
            size = self._size - extra
            if self._open((size - 1) // SEALED_CHUNK_BYTES, size, final=True) is not None:
                hint = "cut them off, or fetch the file again from where it came from"
                return PayloadDamagedError(f"{name} has {extra} bytes after its end", hint=hint)
        if last and self._open(last - 1, last * SEALED_CHUNK_BYTES, final=True) is not None:
            at = self.chunk_offset(last)
            return PayloadDamagedError(f"{name} has bytes after its end, from byte {at} on", hint=COPY_HINT)
        if self._size - last * SEALED_CHUNK_BYTES <= TAG_BYTES:
            return TruncatedError(f"{name} is cut short after {self._source.size} bytes", hint=COPY_HINT)
        return PayloadDamagedError(
            f"{name} is cut short, or damaged in its last chunk from byte {self.chunk_offset(last)} on",
            hint=COPY_HINT,
        )

    def damaged_chunks(self) -> Iterator[tuple[int, str]]:
        """Verify every chunk in order and yield (index, sentence) for each that is bad."""
        last = self.chunk_count - 1
        for index in range(last):
            if self._open(index, self._size, final=False) is None:
                yield index, self._message(index)
        try:
            self.check_end()
        except (TruncatedError, PayloadDamagedError) as error:
            yield max(last, 0), error.message
