"""The generators again, in plain integer NumPy from their descriptions: slow, shares no code with the package."""

from __future__ import annotations

import hashlib
import math

import numpy as np


def shake(seed: bytes, label: str, count: int) -> bytes:
    return hashlib.shake_256(bytes([len(label)]) + label.encode() + seed).digest(count)


def words(seed: bytes, label: str, count: int) -> np.ndarray:
    return np.frombuffer(shake(seed, label, 8 * count), "<u8")


def convolve(x: np.ndarray, weight: np.ndarray, dilation: int = 1) -> np.ndarray:
    """Circular 3x3 correlation. x: (C, H, W) int64; weight: (D, C, 3, 3)."""
    total = np.zeros((weight.shape[0], *x.shape[1:]), dtype=np.int64)
    for row in range(3):
        for column in range(3):
            shifted = np.roll(x, ((1 - row) * dilation, (1 - column) * dilation), axis=(1, 2))
            total += np.tensordot(weight[:, :, row, column], shifted, axes=1)
    return total


class Feistel:
    def __init__(self, shape: tuple[int, int, int], seed: bytes, rounds: int, hidden: int) -> None:
        self.size = math.prod(shape) // 2
        self.word = 1 if self.size % 2 else 2
        self.channels = 8
        while 81 * 81 * self.channels**2 < 8 * self.word * self.size and self.channels < 256:
            self.channels *= 2
        pixels = math.ceil(self.size / self.channels)
        root = math.isqrt(pixels)
        _, self.height = min(
            ((height + 8) * (math.ceil(pixels / height) + 8), height) for height in range(max(1, root // 2), root + 1)
        )
        self.width = math.ceil(pixels / self.height)
        derived = shake(seed, "feistel weights 0", 32)
        self.rounds = []
        for index in range(rounds):
            order = np.argsort(words(derived, f"permutation {index}", self.size // self.word), kind="stable")
            first = words(derived, f"first {index}", 9 * hidden * self.channels) % np.uint64(15)
            second = words(derived, f"second {index}", 9 * hidden * self.channels) % np.uint64(15)
            self.rounds.append(
                (
                    order,
                    first.astype(np.int64).reshape(hidden, self.channels, 3, 3) - 7,
                    second.astype(np.int64).reshape(self.channels, hidden, 3, 3) - 7,
                )
            )

    def coupling(self, half: np.ndarray, index: int) -> np.ndarray:
        order, first, second = self.rounds[index]
        permuted = half.reshape(-1, self.word)[order].reshape(-1)
        grid = np.resize(permuted, self.channels * self.height * self.width)
        x = grid.reshape(self.height, self.width, self.channels).transpose(2, 0, 1).astype(np.int64)
        v = (convolve(x, first) + 0x4B400000) % 2**32
        # Python integers: 0x9E3779B2 * v**2 needs 96 bits.
        q = (v.astype(object) * v.astype(object) * 0x9E3779B2 + v.astype(object)) % 2**32
        top = (q // 2**24).astype(np.int64)
        t = np.where(top >= 128, top - 256, top)
        u = (convolve(t, second, 3) // 16) % 256
        return u.transpose(1, 2, 0).reshape(-1)[: self.size]

    def next_latent(self, z: np.ndarray) -> np.ndarray:
        flat = z.reshape(-1).astype(np.int64)
        halves = [flat[: self.size], flat[self.size :]]
        for index in range(len(self.rounds)):
            halves[1 - index % 2] = (halves[1 - index % 2] + self.coupling(halves[index % 2], index)) % 256
        return np.concatenate(halves).astype(np.uint8).reshape(z.shape)


class Autoencoder:
    """data: version, activation (0 triangle wave, 1 ReLU), nconv; per layer int8 weights, then int16 biases."""

    def __init__(self, data: bytes, shape: tuple[int, int, int]) -> None:
        self.relu, nconv, offset = data[1] == 1, data[2], 3
        sizes = [(nconv, shape[0]), *[(nconv, nconv)] * 5, (shape[0], nconv)]
        self.layers = []
        for outputs, inputs in sizes:
            count = 9 * outputs * inputs
            weight = np.frombuffer(data, "i1", count, offset).astype(np.int64).reshape(outputs, inputs, 3, 3)
            bias = np.frombuffer(data, "<i2", outputs, offset + count).astype(np.int64)
            self.layers.append((weight, bias))
            offset += count + 2 * outputs

    def next_latent(self, z: np.ndarray) -> np.ndarray:
        x = z.astype(np.int64) - 128
        for index, (weight, bias) in enumerate(self.layers):
            if index in (3, 5):
                x = x.repeat(2, axis=1).repeat(2, axis=2)
            h = convolve(x, weight) + bias[:, None, None]
            if index < 2:
                h = h[:, ::2, ::2]
            if self.relu:
                x = np.clip(h // 64, 0, 127) if index < 6 else np.clip(h // 32 + 128, 0, 255)
            else:
                phase = (h + 8192) % 32768
                x = np.minimum(phase, 32767 - phase) // 64 - (128 if index < 6 else 0)
        return x.astype(np.uint8)
