"""The head of a segment: colour axes, quality, and what the video changed in the repairing network.

All of it is masked like the frames, so that nothing that is stored in clear depends on what the frames show.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuralcipher.coding.bits import AdaptiveSymbols, BitChannel, BitReader, BitWriter, code_plain
from neuralcipher.coding.entropy import MessageDecoder, MessageEncoder
from neuralcipher.flows.latent.fields import SIZES, code_integers
from neuralcipher.flows.latent.network import RepairNetwork, repair_network, shipped_weights
from neuralcipher.flows.latent.transform import COLOUR_BYTES, Colour

MAX_QUALITY = 100
PREFIX_BYTES = COLOUR_BYTES + 2
_REPAIRS, _CHANGED = 1, 2
_STEP_BITS = 4
_STEPS_PER_OCTAVE = 2
_COARSEST_STEP = 0.5
_PIECE = 64  # weights coded at once: adaptation waits for them
_SIZES = np.array([[200, 12, 6, 3] + [1] * (SIZES - 4)])  # most weights stay as they are


@dataclass(frozen=True, slots=True)
class Changes:
    """Per parameter of the network, integers on a grid, and the exponent 0..15 of that grid's step."""

    exponents: tuple[int, ...]
    levels: tuple[Tensor, ...]

    def weights(self) -> list[Tensor]:
        """The parameters of the changed network."""
        parts = zip(shipped_weights(), self.exponents, self.levels, strict=True)
        return [weight + level.float() * grid_step(exponent) for weight, exponent, level in parts]


@dataclass(frozen=True, slots=True)
class Head:
    """quality: 0..100. repairs: whether the network is used. changes: to its shipped weights, or None."""

    colour: Colour
    quality: int
    repairs: bool
    changes: Changes | None

    def to_bytes(self) -> bytes:
        """24 bytes of colour, one of quality, one of flags; then, if any, the coded changes."""
        flags = (_REPAIRS if self.repairs else 0) | (_CHANGED if self.changes else 0)
        data = self.colour.to_bytes() + struct.pack("<BB", self.quality, flags)
        return data if self.changes is None else data + changes_bytes(self.changes)

    @classmethod
    def from_bytes(cls, data: bytes, spare: bytes) -> Head:
        """Any bytes are some head; spare: see `LatentSection.unmask`."""
        prefix = data[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0")
        quality, flags = prefix[COLOUR_BYTES] % (MAX_QUALITY + 1), prefix[COLOUR_BYTES + 1]
        changes = None
        if flags & _CHANGED:
            changes = _code(BitReader(MessageDecoder(data[PREFIX_BYTES:], spare)), None)
        return cls(Colour.from_bytes(prefix[:COLOUR_BYTES]), quality, bool(flags & _REPAIRS), changes)

    def network(self, device: torch.device) -> RepairNetwork | None:
        """The network that repairs this segment, or None."""
        if not self.repairs:
            return None
        return repair_network(self.changes.weights() if self.changes else shipped_weights(), device)


def grid_step(exponent: int) -> float:
    """The step of a grid of changes."""
    return float(_COARSEST_STEP * 2.0 ** (-exponent / _STEPS_PER_OCTAVE))


def changes_bytes(changes: Changes) -> bytes:
    """The changes as they are stored."""
    encoder = MessageEncoder(full=True)
    _code(BitWriter(encoder), changes)
    return encoder.to_bytes()


def _code(channel: BitChannel, changes: Changes | None) -> Changes:
    """Write changes and return them, or read them where None."""
    exponents, levels = [], []
    for number, weight in enumerate(shipped_weights()):
        sizes = AdaptiveSymbols(_SIZES)
        given = None if changes is None else np.array([changes.exponents[number]])
        exponent = int(code_plain(channel, np.array([_STEP_BITS]), given)[0])
        values = None if changes is None else changes.levels[number].reshape(-1).numpy()
        found = []
        for start in range(0, weight.numel(), _PIECE):  # adapt as it goes
            piece = None if values is None else values[start : start + _PIECE]
            count = min(_PIECE, weight.numel() - start)
            found.append(code_integers(channel, sizes, np.zeros(count, dtype=np.int64), piece))
            sizes.learn()
        exponents.append(exponent)
        levels.append(torch.from_numpy(np.concatenate(found)).reshape(weight.shape))
    return Changes(tuple(exponents), tuple(levels))
