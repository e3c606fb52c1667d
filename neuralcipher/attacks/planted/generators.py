"""Planted weak generators: each has one fault that its attacks must find, else their rows are INVALID."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.errors import UsageError
from neuralcipher.generators.base import Generator, Shape, flatten_latents
from neuralcipher.generators.chacha20 import ChaCha20Generator

Rows = NDArray[np.uint8]
"""(batch, C * H * W)."""

PREFIX = "weak-"
_PUBLIC_SEED = hashlib.sha256(b"neuralcipher planted").digest()


class Planted:
    """A generator that is a function of flat rows; no bundle can hold one.

    name: with the prefix "weak-". step: rows (batch, size) uint8 -> the next rows, deterministic.
    """

    name: ClassVar[str] = "planted"

    def __init__(self, name: str, shape: Shape, step: Callable[[Rows], Rows]) -> None:
        self.name = name  # type: ignore[misc]  # one class for all of them
        self.shape = shape
        self._step = step

    def next_latent(self, z: Tensor) -> Tensor:
        """z: (..., C, H, W) uint8; the same shape and dtype come back."""
        rows = flatten_latents(z, self.shape).cpu().numpy()
        return torch.from_numpy(np.ascontiguousarray(self._step(rows), dtype=np.uint8)).reshape(z.shape).to(z.device)

    def to(self, device: torch.device) -> Planted:
        """Nothing to move."""
        return self

    @classmethod
    def create(cls, shape: Shape, **_: Any) -> Planted:
        """Planted generators are made by `weak_generator`."""
        raise UsageError("a planted generator is made by name")

    @classmethod
    def from_bytes(cls, data: bytes, shape: Shape) -> Planted:
        """Planted generators are not stored."""
        raise UsageError("a planted generator cannot be stored")

    def to_bytes(self) -> bytes:
        """Its name, for the hashes in a report."""
        return self.name.encode()

    def __repr__(self) -> str:
        return f"Planted({self.name}, shape={self.shape})"


def control_generator(shape: Shape) -> Generator:
    """The negative control: ChaCha20 with a public seed."""
    return ChaCha20Generator(shape, _PUBLIC_SEED)


def weak_generator(name: str, shape: Shape) -> Planted:
    """The planted generator of this name (a key of `GENERATORS`, with or without "weak-").

    Raises UsageError if there is none.
    """
    short = name.removeprefix(PREFIX)
    if short not in GENERATORS:
        known = ", ".join(PREFIX + known for known in GENERATORS)
        raise UsageError(f"no planted generator is called {name!r}", hint=f"there are: {known}")
    return Planted(PREFIX + short, shape, GENERATORS[short](math.prod(shape)))


def _identity(size: int) -> Callable[[Rows], Rows]:
    return lambda z: z.copy()


def _counter(size: int) -> Callable[[Rows], Rows]:
    """z + 1, as one little-endian number in the first 8 bytes: the rest stays."""

    def step(z: Rows) -> Rows:
        out = z.copy()
        number = np.ascontiguousarray(out[:, :8]).view("<u8")
        out[:, :8] = (number + np.uint64(1)).astype("<u8").view(np.uint8)
        return np.asarray(out)

    return step


def _lcg32(size: int) -> Callable[[Rows], Rows]:
    """A 32-bit linear congruential generator, high 8 bits out, reseeded from the state's first four bytes.

    The state is what came out last, so only 32 bits of it carry on. Source: Numerical Recipes (1992), ranqd1.
    """
    powers, sums = _lcg_jumps(size)

    def step(z: Rows) -> Rows:
        seed = np.ascontiguousarray(z[:, :4]).view("<u4").astype(np.uint32)
        states = seed * powers + sums
        return np.asarray(states >> np.uint32(24), dtype=np.uint8)

    return step


def _lcg_jumps(size: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """a^k and (a^(k-1) + ... + 1) c modulo 2^32 for k = 1..size."""
    a, c = 1664525, 1013904223
    powers, sums = np.empty(size, np.uint32), np.empty(size, np.uint32)
    power, total = 1, 0
    for k in range(size):
        power, total = power * a % 2**32, (total * a + c) % 2**32
        powers[k], sums[k] = power, total
    return powers, sums


def _short_cycle(size: int) -> Callable[[Rows], Rows]:
    """Good noise of 8 bits of state: every orbit enters a cycle of at most 256 latents."""
    noise = np.random.default_rng(1).integers(0, 256, (256, size), dtype=np.uint8)
    return lambda z: np.asarray(noise[z[:, 0]])


def _affine(size: int) -> Callable[[Rows], Rows]:
    """Affine over GF(2): bytes permuted, each XORed with two others and a constant; full diffusion, no secrecy."""
    draw = np.random.default_rng(2)
    orders = [draw.permutation(size) for _ in range(3)]
    constant = draw.integers(0, 256, size, dtype=np.uint8)

    def step(z: Rows) -> Rows:
        for _ in range(max(1, size.bit_length())):
            z = z[:, orders[0]] ^ z[:, orders[1]] ^ np.roll(z[:, orders[2]], 1, axis=1) ^ constant
        return z

    return step


def _contracting(size: int) -> Callable[[Rows], Rows]:
    """Every state is drawn half of the way to a fixed noise: all orbits meet within 8 steps."""
    goal = np.random.default_rng(3).integers(0, 256, size, dtype=np.uint8).astype(np.int16)
    return lambda z: ((z.astype(np.int16) + goal) >> 1).astype(np.uint8)


def _block_local(size: int) -> Callable[[Rows], Rows]:
    """Good noise in blocks of 8 bytes that never mix: a key is guessed block by block."""
    table = np.random.default_rng(4).integers(0, 2**63, 1 << 16, dtype=np.uint64)
    blocks = -(-size // 8)

    def step(z: Rows) -> Rows:
        padded = np.zeros((len(z), blocks * 8), np.uint8)
        padded[:, :size] = z
        words = padded.view("<u8")
        for shift in (0, 16, 32, 48):
            index = (words >> np.uint64(shift)) & np.uint64(0xFFFF)
            words = (words << np.uint64(13) | words >> np.uint64(51)) ^ table[index.astype(np.int64)]
            words = words * np.uint64(0x9E3779B97F4A7C15)
        return np.ascontiguousarray(words).view(np.uint8)[:, :size]

    return step


def _autoregressive(size: int) -> Callable[[Rows], Rows]:
    """AR(1): 0.9 of the last value and a fixed noise that rolls by one: linear, and predicted from the last latent."""
    noise = np.random.default_rng(5).integers(-40, 41, size)

    def step(z: Rows) -> Rows:
        centred = z.astype(np.int64) - 128
        return (np.roll((9 * centred) // 10 + noise, 1, axis=1) + 128).clip(0, 255).astype(np.uint8)

    return step


def _dead_units(size: int) -> Callable[[Rows], Rows]:
    """Good noise from the even places alone, and places that stay 0 once they are 0: weak keys are many."""
    inner = ChaCha20Generator((1, 1, max(32, size)), _PUBLIC_SEED)

    def step(z: Rows) -> Rows:
        alive = z != 0
        padded = np.zeros((len(z), max(32, size)), np.uint8)
        padded[:, :size] = z
        noise = inner.next_latent(torch.from_numpy(padded).view(-1, 1, 1, padded.shape[1])).view(len(z), -1).numpy()
        return np.where(alive, np.maximum(noise[:, :size], 1), 0).astype(np.uint8)

    return step


def _logistic(size: int) -> Callable[[Rows], Rows]:
    """The logistic map x -> 4 x (1 - x) in float32, its state the first four bytes; the rest is read off its digits.

    The state falls into a cycle of some hundred latents within a few thousand steps.
    """
    shifts = np.random.default_rng(6).integers(0, 2**63, size, dtype=np.uint64)

    def step(z: Rows) -> Rows:
        whole = np.ascontiguousarray(z[:, :4]).view("<u4")[:, 0]
        x = whole.astype(np.float32) / np.float32(2**32)
        x = np.float32(4) * x * (np.float32(1) - x)
        state = np.minimum(x.astype(np.float64) * 2**32, 2**32 - 1).astype("<u4")
        mixed = (state.astype(np.uint64)[:, None] + shifts) * np.uint64(0x9E3779B97F4A7C15)
        out = (mixed >> np.uint64(56)).astype(np.uint8)
        out[:, :4] = state[:, None].view(np.uint8)
        return np.asarray(out)

    return step


def _linear(size: int) -> Callable[[Rows], Rows]:
    """z' = P z + c modulo 256, P a permutation: every state leads to all others, both ways."""
    draw = np.random.default_rng(7)
    order, constant = draw.permutation(size), draw.integers(0, 256, size, dtype=np.uint8)
    return lambda z: np.asarray(z[:, order] + constant)


GENERATORS: dict[str, Callable[[int], Callable[[Rows], Rows]]] = {
    "identity": _identity,
    "counter": _counter,
    "lcg32": _lcg32,
    "short-cycle": _short_cycle,
    "affine": _affine,
    "contracting": _contracting,
    "block-local": _block_local,
    "autoregressive": _autoregressive,
    "dead-units": _dead_units,
    "logistic": _logistic,
    "linear": _linear,
}
"""Name (without the prefix) -> what makes its step for a latent of so many bytes."""
