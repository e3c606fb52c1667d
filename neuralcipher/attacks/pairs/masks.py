"""Which bytes of a section are masked by which keystream byte, found through the flow's own `remask`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.attacks.views import Public
from neuralcipher.errors import UsageError
from neuralcipher.generators.base import Generator, Keystream

Bytes = NDArray[np.uint8]

_INDEX_BYTES = 3
_OFFSET_BYTES = 4


class StatedKeystream(Keystream):
    """A keystream whose latents are stated and not computed: z_index for each index that is given, else zeros."""

    def __init__(self, generator: Generator, stated: dict[int, Bytes]) -> None:
        super().__init__(generator, torch.zeros(generator.shape, dtype=torch.uint8))
        self._stated = stated

    def latent(self, index: int) -> Tensor:
        """z_index as stated, (C, H, W) uint8."""
        flat = self._flat(index)
        return torch.from_numpy(flat).reshape(self.shape)

    def mask(self, index: int, count: int) -> bytes:
        """The first `count` bytes of it."""
        return self._flat(index)[:count].tobytes()

    def _flat(self, index: int) -> Bytes:
        flat = np.zeros(int(np.prod(self.shape)), np.uint8)
        known = self._stated.get(index)
        if known is not None:
            flat[: len(known)] = known[: len(flat)]
        return flat


class _Tags(StatedKeystream):
    """Every byte says one digit, to base 256, of its latent's index or of its own place in it; or 255."""

    def __init__(self, generator: Generator, digit: int) -> None:
        super().__init__(generator, {})
        self._digit = digit

    def _flat(self, index: int) -> Bytes:
        places = np.arange(int(np.prod(self.shape)), dtype=np.int64)
        if self._digit < 0:
            return np.full(len(places), 255, np.uint8)
        if self._digit < _INDEX_BYTES:
            return np.full(len(places), index >> 8 * self._digit & 255, np.uint8)
        return np.asarray(places >> 8 * (self._digit - _INDEX_BYTES) & 255, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Layout:
    """masked: places in the section; index, offset: of the keystream byte that masks each, all (n,)."""

    masked: NDArray[np.int64]
    index: NDArray[np.int64]
    offset: NDArray[np.int64]


def layout_of(public: Public) -> Layout | None:
    """The masked bytes of a section, or None if its flow cannot remask. No key is needed for this."""
    stored = np.frombuffer(public.section, np.uint8)
    nothing = StatedKeystream(public.generator, {})

    def tagged(digit: int) -> NDArray[np.int64]:
        changed = public.flow.remask(public.section, nothing, _Tags(public.generator, digit))
        return np.asarray(np.frombuffer(changed, np.uint8) ^ stored, dtype=np.int64)

    try:
        masked = np.flatnonzero(tagged(-1) == 255)
        digits = [tagged(digit)[masked] << 8 * digit for digit in range(_INDEX_BYTES)]
        places = [tagged(_INDEX_BYTES + digit)[masked] << 8 * digit for digit in range(_OFFSET_BYTES)]
    except (UsageError, ValueError):  # ValueError: what came back has another length, so it is no XOR
        return None
    return Layout(masked, np.sum(digits, axis=0), np.sum(places, axis=0))


@dataclass(slots=True)
class Learned:
    """Keystream bytes by latent. bytes_known: how many there are."""

    latents: dict[int, Bytes] = field(default_factory=dict)
    bytes_known: int = 0

    def stream(self, generator: Generator) -> Keystream:
        """A keystream of what was learned; zeros where nothing was."""
        return StatedKeystream(generator, self.latents)


def coverage(target: Layout | None, learned: Learned | None) -> float:
    """Share of a section's masked bytes whose keystream byte was learned, 0..1; 0 where either is None."""
    if target is None or learned is None or not len(target.masked):
        return 0.0
    lengths = np.zeros(int(target.index.max()) + 1, np.int64)
    for index, latent in learned.latents.items():
        if index < len(lengths):
            lengths[index] = len(latent)
    return float((target.offset < lengths[target.index]).mean())


def learn(known: Public, plain: bytes) -> Learned | None:
    """The keystream of a bundle from what it holds without a mask; None if the two do not fit or nothing is masked.

    plain: its section, masked with zeros.
    """
    layout = layout_of(known)
    if layout is None or not len(layout.masked) or len(plain) != len(known.section):
        return None
    pad = np.frombuffer(known.section, np.uint8) ^ np.frombuffer(plain, np.uint8)
    learned = Learned(bytes_known=len(layout.masked))
    for index in np.unique(layout.index).tolist():
        here = layout.index == index
        latent = np.zeros(int(layout.offset[here].max()) + 1, np.uint8)
        latent[layout.offset[here]] = pad[layout.masked[here]]
        learned.latents[index] = latent
    return learned


def unmasked(public: Public, z0: Tensor) -> bytes | None:
    """A section with zeros for a mask, by its own key; None if its flow cannot remask."""
    own = Keystream(public.generator, z0)
    try:
        return public.flow.remask(public.section, own, StatedKeystream(public.generator, {}))
    except UsageError:
        return None
