"""Bounded reading and writing of little-endian fields: every length is checked before anything is allocated."""

from __future__ import annotations

import struct

from neuralcipher.errors import LimitError, PayloadDamagedError, UnsupportedError


class FieldReader:
    """Reads fields from bytes in order; anything that does not fit raises PayloadDamagedError.

    noun: what the bytes are, for messages, such as "latent section".
    """

    def __init__(self, data: bytes, noun: str) -> None:
        self._data = memoryview(data)
        self._offset = 0
        self._noun = noun

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._offset

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count < 0 or count > self.remaining:
            raise self.damaged("ends too early")
        chunk = bytes(self._data[self._offset : self._offset + count])
        self._offset += count
        return chunk

    def _unpack(self, layout: str) -> int:
        value: int = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def version(self, known: int) -> None:
        """The version byte that a section begins with. Raises UnsupportedError if it is not the one known here."""
        check_version(self._unpack("<B"), known, self._noun)

    def u8(self, low: int = 0, high: int = 0xFF) -> int:
        """An unsigned byte within low..high."""
        return self.bounded(self._unpack("<B"), low, high)

    def u16(self, low: int = 0, high: int = 0xFFFF) -> int:
        """An unsigned 16-bit integer within low..high."""
        return self.bounded(self._unpack("<H"), low, high)

    def u32(self, low: int = 0, high: int = 0xFFFFFFFF) -> int:
        """An unsigned 32-bit integer within low..high."""
        return self.bounded(self._unpack("<I"), low, high)

    def varint(self, high: int) -> int:
        """An unsigned integer of at most `high`, in base-128 digits, least significant first (LEB128)."""
        value, shift = 0, 0
        while True:
            digit = self.u8()
            value |= (digit & 0x7F) << shift
            if digit < 0x80:
                if shift and digit == 0:
                    raise self.damaged("has a number that is not in its shortest form")
                return self.bounded(value, 0, high)
            shift += 7
            self.bounded(shift, 0, 63)

    def block(self, limit: int) -> bytes:
        """Bytes behind their own 32-bit length, at most `limit`."""
        length = self._unpack("<I")
        if length > limit:
            raise LimitError(f"the {self._noun} claims a block of {length} bytes, more than the {limit} allowed")
        return self.take(length)

    def finish(self) -> None:
        """Check that nothing is left."""
        if self.remaining:
            raise self.damaged(f"has {self.remaining} bytes too many")

    def bounded(self, value: int, low: int, high: int) -> int:
        """Return `value` if it lies within low..high, else raise LimitError."""
        if not low <= value <= high:
            raise LimitError(f"the {self._noun} has a field of {value}, outside {low}..{high}")
        return value

    def damaged(self, what: str) -> PayloadDamagedError:
        """An error that says what is wrong with these bytes, to be raised by the caller."""
        return PayloadDamagedError(f"the {self._noun} {what}", hint="the bundle is damaged: restore it from a copy")


def check_version(found: int, known: int, noun: str) -> None:
    """Refuse a section of another version: it is whole, but for another program. Raises UnsupportedError."""
    if found != known:
        raise UnsupportedError(
            f"the {noun} has version {found}, and this neuralcipher reads version {known}",
            hint="open it with the neuralcipher that sealed it" if found < known else "install a newer neuralcipher",
        )


def pack_block(data: bytes) -> bytes:
    """The bytes behind their 32-bit length, as `FieldReader.block` reads them."""
    return struct.pack("<I", len(data)) + data


def pack_varint(value: int) -> bytes:
    """A non-negative integer as `FieldReader.varint` reads it."""
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
