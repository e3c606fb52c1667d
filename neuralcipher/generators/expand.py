"""Public pseudo-random numbers from a public seed: SHAKE-256, never a library's own stream.

A framework's random stream is not promised to stay the same across versions; a bundle must open in ten years.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from neuralcipher.errors import UsageError

SEED_BYTES = 32


def check_seed(seed: bytes) -> bytes:
    """Return `seed` if it is 32 bytes; raises UsageError otherwise."""
    if len(seed) != SEED_BYTES:
        raise UsageError(f"a generator seed has {SEED_BYTES} bytes, not {len(seed)}")
    return bytes(seed)


def expand(seed: bytes, label: str, count: int) -> bytes:
    """`count` bytes of SHAKE-256(len(label) || label || seed); one label, one use."""
    name = label.encode("ascii")
    return hashlib.shake_256(bytes([len(name)]) + name + seed).digest(count)


def words(seed: bytes, label: str, count: int) -> NDArray[np.uint64]:
    """`count` uniform 64-bit words, read as little-endian on every machine."""
    return np.frombuffer(expand(seed, label, 8 * count), dtype="<u8").astype(np.uint64)


def permutation(seed: bytes, label: str, count: int) -> NDArray[np.int64]:
    """A permutation of 0..count-1: the stable argsort of 64-bit words, so that ties cannot depend on the sort."""
    return np.argsort(words(seed, label, count), kind="stable").astype(np.int64)


def small_integers(seed: bytes, label: str, shape: tuple[int, ...], magnitude: int) -> NDArray[np.int64]:
    """Uniform integers in -magnitude..magnitude (the bias of the modulus is below 2**-55)."""
    span = np.uint64(2 * magnitude + 1)
    drawn = words(seed, label, int(np.prod(shape))) % span
    centred: NDArray[np.int64] = drawn.astype(np.int64).reshape(shape) - magnitude
    return centred
