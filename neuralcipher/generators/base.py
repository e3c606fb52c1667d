"""What every generator g offers, and the keystream Z that it makes from a start latent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from neuralcipher.errors import LimitError, ShapeError
from neuralcipher.registry import Registry

Shape = tuple[int, int, int]

MAX_STATE_BYTES = 1 << 26
"""Largest latent: a stated shape is checked against it before anything is allocated."""


class Generator(Protocol):
    """A public, deterministic, noncyclic noise process over uint8 latents: z_{i+1} = g(z_i).

    Exact integer arithmetic throughout: the same bits on every device, thread count and batch size.
    Source: Neural Video Encoding, eq. 5.
    """

    name: ClassVar[str]
    shape: Shape

    @classmethod
    def create(cls, shape: Shape, *, seed: bytes, z0: Tensor, progress: Callable[[float], None]) -> Generator:
        """Make, or train, a generator for latents of `shape`.

        seed: 32 public bytes, the only source of randomness. z0: (C, H, W) uint8, the start latent; only a
        generator whose paper trains on it looks at it. progress: called with the fraction done, 0..1; may raise.
        Raises CheckFailedError if the result fails its own checks.
        """
        ...

    @classmethod
    def from_bytes(cls, data: bytes, shape: Shape) -> Generator:
        """Read what `to_bytes` wrote. Raises PayloadDamagedError or LimitError on anything else."""
        ...

    def to_bytes(self) -> bytes:
        """The public parameters, as stored in a bundle; no key material."""
        ...

    def next_latent(self, z: Tensor) -> Tensor:
        """Advance by one step. z: (..., C, H, W) uint8, any batch in front; returns the same shape and dtype."""
        ...

    def to(self, device: torch.device) -> Generator:
        """Move the parameters to `device`; returns self."""
        ...


class Keystream:
    """Z = z_1, z_2, ...: random access over a process that only runs forward.

    Keeps one state; asking for an earlier latent starts again from z0.
    """

    def __init__(self, generator: Generator, z0: Tensor) -> None:
        if z0.dtype != torch.uint8 or tuple(z0.shape) != generator.shape:
            raise ShapeError(f"the start latent must be uint8 of shape {generator.shape}")
        self.generator = generator
        self._z0 = z0
        self._index = 0
        self._z = z0

    @property
    def shape(self) -> Shape:
        """(C, H, W) of every latent."""
        return self.generator.shape

    def latent(self, index: int) -> Tensor:
        """Return z_index, (C, H, W) uint8; index counts from 1, since z_0 itself is the key and masks nothing."""
        if index < 1:
            raise ShapeError("latents count from 1: z_0 is the key")
        if index < self._index:
            self._index, self._z = 0, self._z0
        while self._index < index:
            self._z = self.generator.next_latent(self._z)
            self._index += 1
        return self._z

    def latents(self, start: int = 1) -> Iterator[Tensor]:
        """Yield z_start, z_{start+1}, ... without end."""
        index = start
        while True:
            yield self.latent(index)
            index += 1

    def mask(self, index: int, count: int) -> bytes:
        """The first `count` bytes of z_index in (C, H, W) order. Raises ShapeError if z is smaller than that."""
        flat = self.latent(index).reshape(-1)
        if count > flat.numel():
            raise ShapeError(f"a latent of {flat.numel()} bytes cannot mask {count} bytes")
        return flat[:count].cpu().numpy().tobytes()

    def __repr__(self) -> str:
        return f"Keystream({self.generator.name}, shape={self.shape})"


def check_shape(shape: Shape, *, smallest: int) -> Shape:
    """Return `shape` as three plain ints. Raises ShapeError unless they are positive and hold `smallest` bytes or
    more, LimitError above 64 MiB."""
    if len(shape) != 3 or min(shape) < 1:
        raise ShapeError(f"a latent shape is three positive sizes (C, H, W), not {tuple(shape)}")
    channels, height, width = (int(size) for size in shape)
    if channels * height * width < smallest:
        raise ShapeError(f"a latent of shape {tuple(shape)} is below the {smallest} bytes that this generator needs")
    if channels * height * width > MAX_STATE_BYTES:
        raise LimitError(
            f"a latent of shape {tuple(shape)} is above the limit of {MAX_STATE_BYTES} bytes", hint="pass smaller sizes"
        )
    return channels, height, width


def flatten_latents(z: Tensor, shape: Shape) -> Tensor:
    """Return z (..., C, H, W) uint8 as (batch, C*H*W) in (C, H, W) order, whatever its strides.

    Raises ShapeError if the dtype or the last three sizes do not fit `shape`.
    """
    if z.dtype != torch.uint8 or tuple(z.shape[-3:]) != shape:
        raise ShapeError(f"a latent must be uint8 of shape {shape}, not {str(z.dtype)[6:]} of {tuple(z.shape)}")
    return z.reshape(-1, shape[0] * shape[1] * shape[2])


registry: Registry[type[Generator]] = Registry("neuralcipher.generators", "generator")
register = registry.register


def find(name: str) -> type[Generator]:
    """The generator called `name`. Raises UsageError, naming the nearest, if there is none."""
    return registry.get(name)
