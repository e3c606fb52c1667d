"""Sources to test: one that is as good as random, and some that are not."""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def chacha20(size: int, key: int) -> Bytes:
    """(size,) bytes of ChaCha20 keystream; the key is a number below 2**64, the nonce zero."""
    cipher = Cipher(algorithms.ChaCha20(key.to_bytes(32, "big"), bytes(16)), mode=None)
    return np.frombuffer(cipher.encryptor().update(bytes(size)), np.uint8)


def ideal_bits(n: int, key: int) -> Bytes:
    """(n,) of 0 and 1."""
    return np.unpackbits(chacha20(-(-n // 8), key))[:n]


def lcg32(size: int, seed: int) -> NDArray[np.uint32]:
    """(size,) states of x -> 1664525 x + 1013904223 mod 2**32 (Numerical Recipes), by doubling."""
    multipliers, increments = np.ones(1, np.uint32), np.zeros(1, np.uint32)
    step, shift = 1_664_525, 1_013_904_223
    while len(multipliers) < size:
        multipliers = np.concatenate([multipliers, multipliers * np.uint32(step)])
        increments = np.concatenate([increments, increments * np.uint32(step) + np.uint32(shift)])
        step, shift = step * step % 2**32, (step * shift + shift) % 2**32
    return multipliers[:size] * np.uint32(seed) + increments[:size]


def lcg32_low_bytes(size: int, seed: int) -> Bytes:
    return (lcg32(size, seed) & np.uint32(255)).astype(np.uint8)


def counter(size: int, start: int) -> Bytes:
    """A 32-bit counter, most significant byte first."""
    return (np.arange(-(-size // 4), dtype=np.uint32) + np.uint32(start)).astype(">u4").view(np.uint8)[:size]


def short_cycle(size: int, key: int, period: int = 1024) -> Bytes:
    """Random bytes that come again after `period`."""
    return np.resize(chacha20(period, key), size)


def biased_bits(n: int, key: int, ones: float = 0.51) -> Bytes:
    """(n,) of 0 and 1, independent, ones with the given chance."""
    return (chacha20(2 * n, key).view(np.uint16) < ones * 65_536).astype(np.uint8)
