"""The stored form of a latent flow: public shape and plan, a masked head, one masked message a group of frames."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from neuralcipher.coding.binary import FieldReader, pack_varint
from neuralcipher.flows.latent import structure
from neuralcipher.flows.latent.warp import BLOCK
from neuralcipher.generators.base import Keystream, Shape

VERSION = 3
MAX_FRAMES = 1 << 16
MAX_SIDE = 1 << 14
MAX_PIXELS = 1 << 27
MAX_BATCH_PIXELS = 1 << 26  # of the frames that are decoded together, half of the longest group
MAX_MESSAGE_BYTES = 1 << 24
MAX_BLOCKS_PER_BYTE = 1 << 11  # of the first message: a skipped square costs little, but not nothing
_PIXELS_PER_SPARE_BYTE = 64
_MAX_SPARE_BYTES = 1 << 20
_Z_CHANNELS, _Z_COLUMNS, _Z_MIN_ROWS = 8, 16, 8
_Z_ROW_BYTES = _Z_CHANNELS * _Z_COLUMNS
_NOUN = "section of the latent flow"


@dataclass(frozen=True, slots=True)
class LatentSection:
    """plan: one byte a group, see `structure`. messages: the head's, then one a group, all masked."""

    height: int
    width: int
    plan: bytes
    messages: tuple[bytes, ...]

    @property
    def frames(self) -> int:
        """How many frames the section holds."""
        return structure.count_frames(self.plan)

    @property
    def spare_bytes(self) -> int:
        """Keystream bytes that a decoder puts behind each message; see `unmask`."""
        longest = structure.longest_group(self.plan)
        return min(_MAX_SPARE_BYTES, -(-longest * self.height * self.width // _PIXELS_PER_SPARE_BYTE) + 64)

    @property
    def latent_shape(self) -> Shape:
        """(C, H, W) of z, just large enough to mask the longest message and to spare."""
        longest = max(len(message) for message in self.messages) + self.spare_bytes
        return _Z_CHANNELS, max(_Z_MIN_ROWS, -(-longest // _Z_ROW_BYTES)), _Z_COLUMNS

    def to_bytes(self) -> bytes:
        """Serialise."""
        head = struct.pack("<BIHH", VERSION, self.frames, self.height, self.width)
        lengths = b"".join(pack_varint(len(message)) for message in self.messages)
        return head + pack_varint(len(self.plan)) + self.plan + lengths + b"".join(self.messages)

    def masked(self, keystream: Keystream) -> LatentSection:
        """The same section, message j XORed with z_{j+1}; its own inverse."""
        messages = tuple(_xor(m, keystream.mask(j + 1, len(m))) for j, m in enumerate(self.messages))
        return LatentSection(self.height, self.width, self.plan, messages)

    def unmask(self, number: int, keystream: Keystream) -> tuple[bytes, bytes]:
        """Message `number` in clear, and spare bytes of the keystream.

        The decoder reads the spare bytes where a wrong key makes it read past the end: then what is shown does not
        depend on how long the messages are.
        """
        message = self.messages[number]
        pad = keystream.mask(number + 1, len(message) + self.spare_bytes)
        return _xor(message, pad[: len(message)]), pad[len(message) :]


def most_frames(height: int, width: int) -> int:
    """Frames that a group may have at this size, which is more than one only if two can be decoded together."""
    return max(1, 2 * (MAX_BATCH_PIXELS // (height * width)))


def parse(data: bytes) -> LatentSection:
    """Read a section; messages stay masked. Raises UnsupportedError, PayloadDamagedError or LimitError on others."""
    reader = FieldReader(data, _NOUN)
    reader.version(VERSION)
    frames = reader.u32(1, MAX_FRAMES)
    height, width = reader.u16(1, MAX_SIDE), reader.u16(1, MAX_SIDE)
    reader.bounded(height * width, 1, MAX_PIXELS)
    count = reader.varint(min(frames, reader.remaining))
    plan = reader.take(count)
    if not structure.is_valid(plan) or structure.count_frames(plan) != frames:
        raise reader.damaged("has groups that do not add up to its frames")
    lengths = [reader.varint(MAX_MESSAGE_BYTES) for _ in range(count + 1)]
    messages = tuple(reader.take(length) for length in lengths)
    reader.finish()
    reader.bounded(height * width * (structure.longest_group(plan) // 2), 0, MAX_BATCH_PIXELS)
    # Nothing has been allocated for the frames yet: their stated size must be in proportion to what is there.
    reader.bounded(-(-height // BLOCK) * -(-width // BLOCK), 1, MAX_BLOCKS_PER_BYTE * len(messages[1]))
    return LatentSection(height, width, plan, messages)


def _xor(data: bytes, pad: bytes) -> bytes:
    return np.bitwise_xor(np.frombuffer(data, np.uint8), np.frombuffer(pad, np.uint8)).tobytes()
