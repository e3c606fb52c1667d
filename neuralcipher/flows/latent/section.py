"""The stored form of a latent flow: public shape and network, then one masked message a frame."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from neuralcipher.coding.binary import FieldReader, pack_varint
from neuralcipher.coding.weights import weights_from_bytes, weights_to_bytes
from neuralcipher.flows.latent.refine import RefineNetwork
from neuralcipher.flows.latent.transform import BLOCK
from neuralcipher.generators.base import Keystream, Shape

VERSION = 1
MAX_FRAMES = 1 << 16
MAX_SIDE = 1 << 14
MAX_PIXELS = 1 << 27
MAX_HIDDEN = 64
MAX_MESSAGE_BYTES = 1 << 24
MAX_BLOCKS_PER_BYTE = 4  # of the first frame: its three DC levels cost above 3 bits a block under the stored prior
_Z_CHANNELS, _Z_COLUMNS, _Z_MIN_ROWS = 8, 16, 8
_Z_ROW_BYTES = _Z_CHANNELS * _Z_COLUMNS
_NOUN = "section of the latent flow"


@dataclass(frozen=True, slots=True)
class LatentSection:
    """hidden: channels of the refining network, 0 if there is none; weights: its tensors; messages: one a frame."""

    height: int
    width: int
    hidden: int
    weights: tuple[Tensor, ...]
    messages: tuple[bytes, ...]

    @property
    def latent_shape(self) -> Shape:
        """(C, H, W) of z, just large enough to mask the longest message."""
        return mask_shape(max(len(message) for message in self.messages))

    def to_bytes(self, exponents: Sequence[int]) -> bytes:
        """Serialise; exponents: of the weight grids."""
        head = struct.pack("<BIHHB", VERSION, len(self.messages), self.height, self.width, self.hidden)
        weights = weights_to_bytes(self.weights, exponents) if self.hidden else b""
        return head + weights + _pack_messages(self.messages)


def mask_shape(longest: int) -> Shape:
    """(C, H, W) of the smallest latent of at least `longest` bytes."""
    return _Z_CHANNELS, max(_Z_MIN_ROWS, -(-longest // _Z_ROW_BYTES)), _Z_COLUMNS


def parse(data: bytes) -> LatentSection:
    """Read a section; messages stay masked. Raises PayloadDamagedError or LimitError on anything else."""
    reader = FieldReader(data, _NOUN)
    height, width, hidden, count = _parse_head(reader)
    shapes = [tuple(p.shape) for p in RefineNetwork(hidden).parameters()] if hidden else []
    weights = tuple(weights_from_bytes(reader, shapes)) if hidden else ()
    messages = _parse_messages(reader, count)
    # Nothing has been allocated for the frames yet: their stated size must be in proportion to what is there.
    reader.bounded(-(-height // BLOCK) * -(-width // BLOCK), 1, MAX_BLOCKS_PER_BYTE * len(messages[0]))
    return LatentSection(height, width, hidden, weights, messages)


def replace_messages(data: bytes, messages: Sequence[bytes]) -> bytes:
    """The same section with other messages of the same lengths."""
    return data[: len(data) - len(_pack_messages(messages))] + _pack_messages(messages)


def mask(messages: Sequence[bytes], keystream: Keystream) -> tuple[bytes, ...]:
    """XOR message i with z_{i+1}; its own inverse."""
    return tuple(xor(message, keystream.mask(i + 1, len(message))) for i, message in enumerate(messages))


def xor(data: bytes, pad: bytes) -> bytes:
    """Bytewise exclusive or of two equally long strings."""
    return np.bitwise_xor(np.frombuffer(data, np.uint8), np.frombuffer(pad, np.uint8)).tobytes()


def _pack_messages(messages: Sequence[bytes]) -> bytes:
    return b"".join(pack_varint(len(message)) for message in messages) + b"".join(messages)


def _parse_head(reader: FieldReader) -> tuple[int, int, int, int]:
    reader.u8(VERSION, VERSION)
    count = reader.u32(1, MAX_FRAMES)
    height, width = reader.u16(1, MAX_SIDE), reader.u16(1, MAX_SIDE)
    reader.bounded(height * width, 1, MAX_PIXELS)
    return height, width, reader.u8(0, MAX_HIDDEN), count


def _parse_messages(reader: FieldReader, count: int) -> tuple[bytes, ...]:
    reader.bounded(count, 1, reader.remaining)
    lengths = [reader.varint(MAX_MESSAGE_BYTES) for _ in range(count)]
    messages = tuple(reader.take(length) for length in lengths)
    reader.finish()
    return messages
